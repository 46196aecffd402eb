"""Scripts that read our JSON go on working: what version 0.1 answered, sent and wrote into its audit trail has at least the
same members of the same types. `answers-0.1.json` is never made anew for a change of ours."""

import json
from pathlib import Path

from tests.app.conftest import site  # noqa: F401 -- a fixture
from tests.app.plant import Site
from tests.golden.session import missing, session

DUE = json.loads(Path(__file__).with_name("answers-0.1.json").read_text())


async def test_answers_messages_and_audit_records_have_what_those_of_0_1_had(site: Site) -> None:  # noqa: F811
    said = await session(site)
    assert missing(DUE, said) == []


def test_a_member_that_is_gone_or_has_another_type_is_found() -> None:
    due = {"a": "text", "b": [{"c": "number"}], "d": None}
    assert missing(due, {"a": "text", "b": [{"c": "number", "more": "text"}], "d": "text"}) == []
    assert missing(due, {"a": "number", "b": [{}], "d": None}) == [".a was text, is number", ".b[].c is gone"]
