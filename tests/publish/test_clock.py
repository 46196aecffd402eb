"""What messages say of the clock behind their times."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.core.clock import ClockState
from gateway.core.record import Kind, Record

from .blocks import T0_MS, block, device, encoder, record

OF = device({"temp": "float64", "speed": "float64"})


def said(of: Record, *, per_tag: bool = False) -> list[dict[str, Any]]:
    return [json.loads(message.payload) for message in encoder(per_tag=per_tag, devices=[OF]).messages(of)]


def readings(clock: ClockState, corrected_ns: int | None = None, own_time: bool = True) -> Record:
    taken = replace(block(OF, [1.5, 2.5]), own_time=own_time)
    return replace(record(taken), clock=clock, corrected_ns=corrected_ns)


def event(clock: ClockState, corrected_ns: int | None = None) -> Record:
    body = {"event": "e", "kind": "gateway", "device": "", "ts": T0_MS}
    return replace(record(kind=Kind.EVENT, body=body), clock=clock, corrected_ns=corrected_ns)


@pytest.mark.parametrize("state", list(ClockState))
def test_every_message_names_a_clock_that_is_not_synchronised_and_no_other(state: ClockState) -> None:
    for each in [*said(readings(state)), *said(readings(state), per_tag=True), *said(event(state))]:
        assert each.get("clock") == (None if state is ClockState.SYNCHRONISED else state.words)
        assert "corrected" not in each


def test_a_correction_names_the_members_that_it_changed() -> None:
    of = readings(ClockState.NOT_YET, 5_000_000)
    for each in [*said(of), *said(of, per_tag=True)]:
        assert each["corrected"] == {"ts": 5, "accepted": 5}
    (given,) = said(readings(ClockState.NOT_YET, -5_000_000, own_time=False))
    assert given["corrected"] == {"accepted": -5}
    assert said(event(ClockState.NOT_YET, 5_000_000))[0]["corrected"] == {"accepted": 5}


def test_a_time_that_was_found_to_be_right_is_said_to_be() -> None:
    assert said(readings(ClockState.NOT_YET, 0))[0]["corrected"] == {"ts": 0, "accepted": 0}
