"""What may be written to a tag is asked before its driver is."""

import pytest

from gateway.config.base import TagConfig
from gateway.core.errors import GatewayError
from gateway.core.tag import Tag
from gateway.operate.writes import allowed


def tag(kind: str) -> Tag:
    config = TagConfig(write=True, min=-1e40, max=1e40, max_rate="1/s")
    return Tag(1, "oven", "speed", kind, config=config)


@pytest.mark.parametrize(
    ("kind", "value"), [("float32", 1e39), ("float32", -1e39), ("uint8", 256), ("int16", -32769), ("uint64", 1 << 64)]
)
def test_a_number_that_the_tags_type_does_not_hold_is_refused_whatever_its_limits_say(kind: str, value: float) -> None:
    with pytest.raises(GatewayError, match=f"speed is a {kind}, which does not hold .*mend its min and max"):
        allowed(tag(kind), value)


@pytest.mark.parametrize(
    ("kind", "value"), [("float32", 3.4e38), ("float64", 1e39), ("int64", -(1 << 63)), ("uint8", 255)]
)
def test_the_farthest_number_of_each_type_may_be_written(kind: str, value: float) -> None:
    assert allowed(tag(kind), value) == value
