"""Values that came one by one become readings, and what is no value is never good."""

import math

from gateway.core.quality import BAD, BAD_SENSOR_FAILURE, GOOD
from gateway.core.tag import Device, Tag, Tags
from gateway.kit import readings_of


def test_neither_none_nor_a_number_that_is_none_is_good() -> None:
    tags = [Tag(number, "scale", name) for number, name in enumerate(("gross", "tare", "net", "text", "broken"))]
    told = dict(zip(tags, [1.5, None, math.nan, "ready", (math.nan, BAD_SENSOR_FAILURE)], strict=True))
    readings = readings_of(Device("scale", "tcp", Tags("scale", tags)), told)
    assert readings.quality.tolist() == [GOOD, BAD, BAD, GOOD, BAD_SENSOR_FAILURE]
    assert readings.value[0] == 1.5 and readings.exact == {3: "ready"}
