import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.acquire.condition import Conditioner
from gateway.acquire.values import as_readings
from gateway.config.base import TagConfig
from gateway.core.errors import PluginError
from gateway.core.quality import BAD, CLAMPED, REPEATED, STALE, UNCERTAIN_LAST_VALUE
from gateway.core.readings import Readings
from gateway.core.tag import Device, Tag, Tags

SECOND = 1_000_000_000


def device(**tags: dict) -> tuple[Device, Conditioner]:
    configs = {name: TagConfig.model_validate(options) for name, options in tags.items()}
    # Ids neither start at 0 nor ascend, as after some edits of the configuration.
    ids = [100 - row for row in range(len(configs))]
    made = Device("press-1", "fake", Tags("press-1", [Tag(i, "press-1", n) for i, n in zip(ids, configs, strict=True)]))
    return made, Conditioner(made, configs)


def block(of: Device, values: list, t_ns: int = 7, quality: list | None = None) -> Readings:
    readings = as_readings(of, of.tags, values, t_ns)
    if quality is None:
        return readings
    return Readings(of, readings.t_ns, readings.tag, readings.value, np.array(quality, np.uint32), readings.exact)


def names(of: Device, readings: Readings | None) -> list[str]:
    if readings is None:
        return []
    by_id = {tag.id: tag.name for tag in of.tags}
    return [by_id[i] for i in readings.tag.tolist()]


def test_none_and_nan_are_bad_and_spoil_no_neighbour():
    of, _ = device(a={}, b={}, c={})
    for values in ([1.0, None, 3], np.array([1.0, np.nan, 3.0])):
        readings = as_readings(of, of.tags, values, 5)
        assert readings.quality.tolist() == [0, BAD, 0]
        assert readings.value[[0, 2]].tolist() == [1, 3]
        assert readings.t_ns.tolist() == [5, 5, 5]


def test_infinities_and_the_largest_numbers_are_values_like_others():
    of, _ = device(a={}, b={}, c={}, d={})
    readings = as_readings(of, of.tags, np.array([np.inf, -np.inf, 1.7e308, 1.7e308]), 5)
    assert readings.quality.tolist() == [0, 0, 0, 0]


def test_what_a_float_cannot_hold_is_kept_exactly():
    of, _ = device(a={}, b={}, c={}, d={})
    readings = as_readings(of, of.tags, [2**60 + 1, "text", b"\x00", True], 5)
    assert dict(readings.exact) == {0: 2**60 + 1, 1: "text", 2: b"\x00"}
    assert readings.quality.tolist() == [0, 0, 0, 0]
    assert readings.value[3] == 1.0


@pytest.mark.parametrize(("values", "message"), [([1.0], "1 values for 2 tags"), ([1.0, object()], "object")])
def test_a_driver_that_breaks_its_contract_is_told_so(values, message):
    of, _ = device(a={}, b={})
    with pytest.raises(PluginError, match=message):
        as_readings(of, of.tags, values, 5)


def test_scaling_and_offset_apply_to_their_own_tags():
    of, conditioner = device(a={"scale": 0.1}, b={}, c={"scale": 2, "offset": -1})
    assert conditioner.scale(block(of, [212, 212, 212])).value.tolist() == [21.2, 212, 423]


def test_an_unscaled_block_passes_untouched():
    of, conditioner = device(a={}, b={})
    readings = block(of, [1, 2])
    assert conditioner.scale(readings) is readings
    assert conditioner.report(readings, SECOND) is readings


def test_a_large_integer_of_a_scaled_tag_becomes_a_float():
    of, conditioner = device(a={"scale": 0.5}, b={})
    scaled = conditioner.scale(block(of, [2**60 + 2, 2**60 + 1]))
    assert scaled.value[0] == 2.0**59
    assert dict(scaled.exact) == {1: 2**60 + 1}


def test_clamped_values_say_so_and_bad_ones_stay_bad():
    of, conditioner = device(a={"clamp": [0, 100]}, b={"clamp": [0, 100]}, c={"clamp": [0, 100]}, d={})
    scaled = conditioner.scale(block(of, [120, 50, None, 120]))
    assert scaled.value[[0, 1, 3]].tolist() == [100, 50, 120]
    assert scaled.quality.tolist() == [CLAMPED, 0, BAD, 0]


def test_a_deadband_holds_back_small_changes_and_keeps_the_rest_of_the_block():
    of, conditioner = device(a={"deadband": 0.5}, b={}, c={"deadband": "1%", "range": [0, 200]})
    assert names(of, conditioner.report(block(of, [10, 1, 100]), SECOND)) == ["a", "b", "c"]
    assert names(of, conditioner.report(block(of, [10.5, 1, 102]), 2 * SECOND)) == ["b"]
    assert names(of, conditioner.report(block(of, [10.6, 1, 102.1]), 3 * SECOND)) == ["a", "b", "c"]


def test_slow_drift_is_measured_from_the_last_report_not_the_last_reading():
    of, conditioner = device(a={"deadband": 1})
    reported = [conditioner.report(block(of, [0.4 * n]), n * SECOND) is not None for n in range(7)]
    assert reported == [True, False, False, True, False, False, True]


def test_a_change_of_quality_is_always_reported():
    of, conditioner = device(a={"deadband": 5})
    assert conditioner.report(block(of, [1]), SECOND) is not None
    assert conditioner.report(block(of, [None]), SECOND) is not None
    assert conditioner.report(block(of, [None]), SECOND) is None
    assert conditioner.report(block(of, [1]), SECOND) is not None


def test_a_heartbeat_of_a_polled_tag_is_a_new_reading_with_its_own_time():
    of, conditioner = device(a={"deadband": 5, "heartbeat": "10s"})
    conditioner.report(block(of, [1], 100), SECOND)
    assert conditioner.report(block(of, [1], 200), 10 * SECOND) is None
    beat = conditioner.report(block(of, [1], 300), 11 * SECOND)
    assert beat is not None
    assert beat.t_ns.tolist() == [300]
    assert beat.quality.tolist() == [0]


def test_a_heartbeat_of_a_subscribed_tag_repeats_the_old_time_with_the_flag():
    of, conditioner = device(a={"heartbeat": "10s"}, b={})
    whole = block(of, [1, 2], 100)
    conditioner.report(whole, SECOND)
    assert conditioner.repeats(whole, 5 * SECOND) is None
    beat = conditioner.repeats(whole, 11 * SECOND)
    assert beat is not None
    assert (names(of, beat), beat.t_ns.tolist(), beat.quality.tolist()) == (["a"], [100], [REPEATED])
    assert conditioner.repeats(whole, 12 * SECOND) is None


def test_stale_values_keep_their_source_time_and_bad_ones_are_not_invented():
    of, conditioner = device(a={}, b={"deadband": 1}, c={})
    whole = block(of, [1, 2, None], 100)
    conditioner.report(whole, SECOND)
    stale = conditioner.stale(whole)
    assert stale is not None
    assert names(of, stale) == ["a", "b"]
    assert stale.t_ns.tolist() == [100, 100]
    assert stale.value.tolist() == [1, 2]
    assert set(stale.quality.tolist()) == {UNCERTAIN_LAST_VALUE | STALE}
    # Back again with the same value: the end of staleness must be reported in spite of the deadband.
    assert "b" in names(of, conditioner.report(block(of, [1, 2, None], 200), 2 * SECOND))


def test_texts_are_reported_when_they_change():
    of, conditioner = device(a={"deadband": 0})
    assert conditioner.report(block(of, ["on"]), SECOND) is not None
    assert conditioner.report(block(of, ["on"]), SECOND) is None
    assert conditioner.report(block(of, ["off"]), SECOND) is not None


def test_several_samples_of_a_tag_in_one_block_are_judged_one_after_the_other():
    of, conditioner = device(a={"deadband": 1}, b={})
    ids = of.tags.ids[[0, 0, 1, 0]]
    readings = Readings(of, np.arange(4), ids, np.array([5.0, 5.5, 1.0, 7.0]), np.zeros(4, np.uint32))
    report = conditioner.report(readings, SECOND)
    assert report is not None
    assert report.value.tolist() == [5.0, 1.0, 7.0]


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.floats(-100, 100)), min_size=3, max_size=3),
        min_size=1,
        max_size=30,
    )
)
def test_no_unreported_value_is_ever_further_off_than_the_deadband(scans):
    of, conditioner = device(a={"deadband": 3}, b={"deadband": 0}, c={})
    last: dict[str, float] = {}
    for number, values in enumerate(scans):
        readings = block(of, values)
        report = conditioner.report(readings, number)
        reported = set(names(of, report))
        assert "c" in reported
        for name, value, band in zip("ab", values, (3, 0), strict=False):
            if name in reported:
                last[name] = value
            elif value is None or last[name] is None:
                assert value is last[name]
            else:
                assert abs(value - last[name]) <= band
