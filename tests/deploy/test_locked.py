"""What the packages hold is what the gateway says it needs."""

import re
import tomllib

from packaging.requirements import Requirement

from .conftest import CHECKOUT

LEFT_OUT = {"delta", "demo", "dev", "models", "parquet"}
"""Extras that no package holds; all others are in it, so that a plant without internet can use each sink."""


def test_every_package_that_we_need_is_locked_in_a_version_that_we_bear() -> None:
    """Whoever adds a dependency: make lock."""

    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    locked = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (CHECKOUT / "deploy/package/requirements.txt").read_text(), re.MULTILINE)
    )
    extras = project["optional-dependencies"]
    inside = [text for name in sorted(set(extras) - LEFT_OUT) for text in extras[name]]
    for text in [*project["dependencies"], *inside]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked.get(wanted.name.lower(), "0")), f"{text}: run  make lock"


def test_no_tool_of_developers_is_locked() -> None:
    text = (CHECKOUT / "deploy/package/requirements.txt").read_text()
    assert not re.findall(r"^(?:pytest|hypothesis|mypy|ruff)", text, re.MULTILINE)
