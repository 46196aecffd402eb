"""docs/json.md says what the encoder does."""

import json
import math
import re
import textwrap
import tomllib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import pytest

from gateway.config.model import GatewaySection
from gateway.config.payload import JsonForm, Preset, template_of
from gateway.core import quality
from gateway.core.clock import ClockState, FakeClock
from gateway.core.event import Contribution, Event
from gateway.core.live import LiveTable
from gateway.core.quality import BAD_NO_COMMUNICATION, describe
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.encode.template import LOOPS, NAMES, ROWS, SLOTS
from gateway.outbox.format.clock_correction import ClockCorrections
from gateway.outbox.receipts.body import Standing, bodies
from gateway.outbox.receipts.period import Period, Tally
from gateway.plugin.hosts import Message
from gateway.publish import JsonEncoder, SinkSurroundings
from gateway.publish.encoder import RESERVED

from .blocks import PLACE, T0_MS, block

PAGE = (Path(__file__).parents[2] / "docs/json.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))
GATEWAY = GatewaySection(name="line3-gw1", site="north", area="solids", line="coating")
COATER = Device(
    "coater-1",
    "modbus",
    Tags(
        "coater-1",
        [
            Tag(1, "coater-1", "inlet_temp", "float32", "°C", "air at the inlet"),
            Tag(2, "coater-1", "fan", "bool"),
            Tag(3, "coater-1", "tablets", "uint32"),
            Tag(4, "coater-1", "spray_rate", "float64", "g/min", scaling="× 0.1"),
            Tag(5, "coater-1", "recipe", "string"),
        ],
    ),
    PLACE,
)


def encoder(per_tag: bool = False) -> JsonEncoder:
    template = re.findall(r"^    (\{enterprise.*)$", PAGE, re.MULTILINE)[0]
    clock = FakeClock(wall=T0_MS * 1_000_000)
    return JsonEncoder(template, per_tag, SinkSurroundings(GATEWAY, "0.1.0", clock, LiveTable(), lambda: [COATER]))


def record(lane: Lane, seq: int, kind: Kind, readings: Any = None, body: Any = None) -> Record:
    accepted = (T0_MS + 4) * 1_000_000
    return Record("6f1c22d09ab34e57", lane, seq, kind, accepted, 0, 1, 0, "0badcafe", 5, readings, body)


def readings() -> Record:
    times = [T0_MS] * 4 + [T0_MS - 60_000]
    bad = [0, 0, 0, BAD_NO_COMMUNICATION, 0]
    values = [61.3, 1, 48210, math.nan, math.nan]
    return record(Lane.DATA, 1041, Kind.READINGS, block(COATER, values, times_ms=times, quality=bad, exact={4: "A-17"}))


def corrected() -> Record:
    """Accepted a minute after a boot in 1970, sent after the first synchronisation."""
    shift = (T0_MS - 60_000) * 1_000_000
    wrong = record(Lane.DATA, 1041, Kind.READINGS, replace(block(COATER, [61.3], times_ms=60_000), own_time=True))
    wrong = replace(wrong, boot=7, boot_ns=60_004_000_000, wall_ns=60_004_000_000, clock=ClockState.NOT_YET)
    synced = ClockCorrections()
    synced.note(7, shift)
    return synced.corrected(wrong)


def event() -> Record:
    said = Event(
        "coater-1.nozzle.1800000000",
        "anomaly",
        "raised",
        "coater-1",
        T0_MS * 1_000_000,
        "coater-1 behaves unlike its training: spray_rate is lower than expected",
        "alarm",
        {"score": 4.2, "threshold": 3.0},
        [Contribution("spray_rate", 0.82, 12.5, 20.1)],
    )
    return record(Lane.ALARM, 9, Kind.EVENT, body=said.body())


def receipt() -> Record:
    hour, minute = T0_MS * 1_000_000, 60_000_000_000
    tally = Tally("coater-1", PLACE.said(), sha256(b"").digest(), 3540, 3540, 17_700, 1041, 9_312, 17_700, 1)
    tally.gaps = [["offline: no answer within 3 s", hour + minute, hour + 2 * minute]]
    period = Period(1041, hour, 4, 9_313, hour + 60 * minute, tallies=[tally], revision=1, final=True)
    (body,) = bodies(period, {"central": Standing()}, None)
    return record(Lane.ALARM, 12, Kind.RECEIPT, body=body)


def printed() -> dict[str, Message]:
    return {
        "readings": encoder().messages(readings())[0],
        "corrected": encoder().messages(corrected())[0],
        "per_tag": encoder(per_tag=True).messages(readings())[3],
        "event": encoder().messages(event())[0],
        "tags": encoder().description(COATER),
        "receipt": encoder().messages(receipt())[0],
        "state": encoder().state(COATER, False, "no answer within 3 s"),
    }


@pytest.mark.parametrize("name", ["readings", "corrected", "per_tag", "event", "receipt", "tags", "state"])
def test_an_example_is_what_the_encoder_prints(name: str) -> None:
    shown, true = (json.loads(text) for text in (EXAMPLES[name], printed()[name].payload))
    assert shown == true
    assert list(shown) == list(true), "the members stand in the same order"


def test_the_topics_are_those_of_the_table() -> None:
    for message in (*printed().values(), encoder().gateway_state(online=True)):
        if not message.topic.endswith("/spray_rate"):
            assert f"| `{message.topic}` |" in PAGE
    for level in RESERVED:
        assert f"{level}`" in PAGE


def test_the_quality_table_is_complete_and_true() -> None:
    shown = {int(code, 16): words for words, code in re.findall(r"^\| (.+?) \| 0x(\w{8}) \|$", PAGE, re.MULTILINE)}
    named = {value for name, value in vars(quality).items() if name.startswith(("GOOD", "BAD", "UNCERTAIN"))}
    assert shown == {code: describe(code) for code in named}
    for flag in (quality.STALE, quality.REPEATED, quality.CLAMPED, quality.FORCED):
        assert f"| {describe(flag).removeprefix('good, ')} |" in PAGE


def test_the_words_for_the_clock_are_those_of_the_table() -> None:
    for state in ClockState:
        assert state is ClockState.SYNCHRONISED or f"| {state.words} |" in PAGE


def test_the_consumer_of_the_page_drops_repeats_and_nothing_else() -> None:
    scope: dict[str, Any] = {}
    exec(EXAMPLES["consumer"], scope)
    ids = ["a:data:1", "a:data:1", "a:alarm:1", "b:data:1", "a:data:1:1", "a:data:2", "a:data:1:1"]
    assert [scope["is_new"]({"id": each}) for each in ids] == [True, False, True, True, True, True, False]


FORMS = re.findall(r"^\| `(\w+)` \| (record|tag|slot|record or slot) \| `(.*)` \|$", PAGE, re.MULTILINE)


def test_the_page_shows_every_form() -> None:
    assert {name for name, _, _ in FORMS} == {*get_args(Preset)}


@pytest.mark.parametrize(("name", "per", "shown"), FORMS)
def test_a_form_reads_as_the_page_shows_it(name: str, per: str, shown: str) -> None:
    two = block(COATER, [61.3, math.nan], rows=[0, 3], quality=[0, BAD_NO_COMMUNICATION])
    for each in per.split(" or "):
        form = {"per_tag": each == "tag", "per_slot": each == "slot"}
        around = SinkSurroundings(GATEWAY, "0.1.0", FakeClock(), LiveTable(), lambda: [COATER])
        subject = JsonEncoder("{device}", False, around, JsonForm(template_of(name, **form), **form))
        assert subject.messages(record(Lane.DATA, 1041, Kind.READINGS, two))[0].payload.decode() == shown


def test_what_a_form_does_not_say_is_what_the_page_says() -> None:
    for name in {*get_args(Preset)} - {"own"}:
        template = template_of(name, per_tag=name == "umh")
        assert template is not None
        assert f"| `{name}` | {'; '.join(template.unsaid())} |" in PAGE


def test_the_template_of_the_page_is_one_and_every_placeholder_is_explained() -> None:
    text = textwrap.dedent(re.findall(r"\n\n(    \[sink\.payload\].*?)\n\n", PAGE, re.DOTALL)[0])
    template = template_of(tomllib.loads(text)["sink"]["payload"])
    assert template is not None
    assert len(template.unsaid()) == 0
    assert all(f"`{{{name}}}`" in PAGE for name in (*NAMES, *SLOTS))
    assert all(f"`{key}`" in PAGE for key in LOOPS)
    assert all(f'`"{rows}"`' in PAGE or f'`only = "{rows}"`' in PAGE for rows in ROWS)
