import grp
import os
import pwd
from typing import Any

import pytest

from gateway.config.model import AccessSection
from gateway.trust.access import ALL, roles, unknown

STRANGER = 54_321
LOOKS, OPERATES = {"viewer"}, {"viewer", "operator"}
OWN_USER, OWN_GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
USER = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))


def held(uid: int, groups: tuple[int, ...] = (), **access: Any) -> set[str]:
    return set(roles(AccessSection(**access), uid, groups))


def test_root_and_the_gateways_own_user_are_admin_whatever_the_section_says() -> None:
    for uid in (0, os.geteuid()):
        assert held(uid, viewer=["root", OWN_USER], others="none") == ALL


def test_who_is_named_nowhere_is_what_others_says() -> None:
    assert held(STRANGER) == OPERATES
    assert held(STRANGER, others="viewer") == LOOKS
    assert held(STRANGER, others="none") == set()


def test_who_is_named_has_what_he_is_named_for_and_nothing_by_default() -> None:
    assert held(USER.pw_uid, viewer=[USER.pw_name]) == LOOKS
    assert held(USER.pw_uid, quality=[USER.pw_name]) == {"viewer", "quality"}
    assert held(USER.pw_uid, quality=[USER.pw_name], operator=[USER.pw_name]) == {"viewer", "quality", "operator"}
    assert held(USER.pw_uid, engineer=[USER.pw_name]) == {"viewer", "operator", "engineer"}
    assert held(USER.pw_uid, admin=[USER.pw_name]) == ALL


def test_a_group_gives_its_members_a_role_and_nobody_else() -> None:
    assert held(STRANGER, (7, os.getgid()), engineer=[f"@{OWN_GROUP}"]) == {"viewer", "operator", "engineer"}
    assert held(STRANGER, (STRANGER,), engineer=[f"@{OWN_GROUP}"]) == OPERATES


def test_a_name_that_the_machine_does_not_know_gives_nothing_and_is_told() -> None:
    access = {"admin": ["no-such-user", OWN_USER], "quality": ["@no-such-group", "x" * 5000, "nul\0"]}
    assert held(STRANGER, **{**access, "quality": ["@no-such-group", "x" * 5000]}) == OPERATES
    assert unknown(AccessSection(admin=["no-such-user", OWN_USER], quality=["@no-such-group"])) == [
        "@no-such-group",
        "no-such-user",
    ]


@pytest.mark.parametrize(
    ("name", "said"), [("%wheel", '"@wheel"'), ("", "name of a user"), ("@", "name"), (" x", "name")]
)
def test_what_is_no_name_is_refused_with_what_to_write(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AccessSection(viewer=[name])
