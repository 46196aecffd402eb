"""Spans of time that were imported: joined, and kept over a start."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.operate.covered import Covered, Spans

ends = st.tuples(st.integers(0, 50), st.integers(0, 50))


@given(st.lists(ends, max_size=8), ends)
def test_what_is_missing_is_what_no_span_covers(spans, asked):
    covered = Spans()
    for span in spans:
        covered.add(*span)
    moments = {at for a, b in spans for at in range(a, b)}
    assert {at for a, b in covered.spans for at in range(a, b)} == moments
    assert all(a < b for a, b in covered.spans)
    assert all(before[1] < after[0] for before, after in zip(covered.spans, covered.spans[1:], strict=False))
    missing = covered.missing(*asked)
    assert {at for a, b in missing for at in range(a, b)} == set(range(*asked)) - moments
    assert missing == sorted(missing) and all(a < b for a, b in missing)


def test_it_is_kept_by_device_and_one_of_another_device_is_damage(tmp_path):
    first = Covered(tmp_path / "history", "press/1 \u2028")
    first.spans["temp\ni=1"] = Spans([(5, 10)])
    first.save()
    again = Covered(tmp_path / "history", "press/1 \u2028")
    assert again.spans["temp\ni=1"].spans == [(5, 10)] and not again.begun
    (file,) = (tmp_path / "history").iterdir()
    Covered(tmp_path / "history", "other").save()
    (other,) = [each for each in (tmp_path / "history").iterdir() if each != file]
    other.write_bytes(file.read_bytes())
    found = Covered(tmp_path / "history", "other")
    assert found.was_damaged and found.begun and not found.spans
    assert not Covered(tmp_path / "history", "other").was_damaged
