"""An hour at the control socket: nearly every command once, and what the far side and the audit trail then have.

python -m tests.golden.session wrote `answers-0.1.json` with version 0.1.
"""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from gateway.detect import rollout, versions
from gateway.supervise import backoff
from tests.app.plant import Ahead, Site, device, sink
from tests.detect.graphs import CARD, save

OVEN = """[device.tags]
temp = { unit = "°C", write = true, min = 10, max = 80, max_rate = "9/h" }
flow = { unit = "l/min" }
"""
TABLES = (
    '[[model]]\nfile = "oven.onnx"\ndevices = ["oven-*"]\n',
    '[[alarm]]\nname = "too hot"\ndevices = ["*"]\ntag = "temp"\nhigh = 60.0\naction = "open the damper"\n',
)
KEEP = '[outbox]\nkeep = "1h"\n'
FOR_EVER = {"from_ns": 0, "to_ns": 2**62}


async def session(site: Site) -> dict[str, Any]:
    """Shapes of all answers by command, of all messages by topic and kind, of all audit records by action."""
    rollout.VERSION_SECONDS = 0.05
    path = save(site.path / "oven.onnx")
    site.gateway_line = "writes = true"
    site.write(sink(), sink("lake"), device("oven-1", tags=OVEN), *TABLES, KEEP)
    answers: dict[str, Any] = {}
    clock = Ahead()

    async def ask(command: str, **arguments: Any) -> Any:
        answer = await site.ask(command, **arguments)
        answers[command] = merged(answers.get(command), shape(answer))
        return answer

    async def asked_until(command: str, check: Any) -> Any:
        async with asyncio.timeout(60):
            while not check(answer := await ask(command)):
                await asyncio.sleep(0.05)
        return answer

    async with site.running(clock):
        await site.heard("north/oven-1")
        await ask("tags")
        await ask("read", device="oven-1", tags=["temp"])
        await ask("write", device="oven-1", tag="temp", value=70.5, reason="trial")
        await site.heard("north/oven-1/_event", lambda body: body["kind"] == "alarm")
        await ask("alarms")
        await ask("acknowledge", alarm="too hot/oven-1", comment="seen")
        await ask("shelve", alarm="too hot/oven-1", seconds=60, reason="known")
        await ask("unshelve", alarm="too hot/oven-1")
        site.bench.lines["oven-1"].stands("c-event", True, False)
        await site.heard("north/oven-1/_event", lambda body: body["kind"] == "condition")
        await asked_until("alarms", lambda alarms: len(alarms) == 2)
        await ask("call", device="oven-1", target="oven", method="heat", arguments=[1], reason="trial")
        await ask("write", device="oven-1", tag="temp", value=20, reason="back")
        save(versions.next_of(path), card=CARD | {"version": "3"})
        await asked_until("models", lambda models: "shadow" in models[0])
        await ask("model_approve", model="oven", reason="better")
        await ask("model_rollback", model="oven", reason="worse")
        await asked_until("models", lambda models: "shadow" in models[0])
        await ask("model_retire", model="oven", reason="no good")
        clock.to_the_next_hour()
        await site.heard("north/oven-1/_receipt")
        await ask("receipts", **FOR_EVER)
        await ask("drain")
        await ask("replay", sink="lake", devices=[], **FOR_EVER)
        await ask("replay_status", sink="lake")
        await ask("status")
        site.write(sink(), device("oven-1", tags=OVEN), *TABLES, KEEP)
        await ask("reload")
        site.write("[[nonsense]]")
        await ask("reload")
    return {"answers": answers, "messages": _messages(site), "audit": _audit(site)}


def _messages(site: Site) -> dict[str, Any]:
    heard: dict[str, Any] = {}
    for topic, body in site.far.story:
        name = " ".join([topic, *(str(body[key]) for key in ("kind", "state") if key in body)])
        heard[name] = merged(heard.get(name), shape(body))
    return heard


def _audit(site: Site) -> dict[str, Any]:
    noted: dict[str, Any] = {}
    for record in json.loads(json.dumps(site.audit()).replace(str(site.path), "SITE")):
        noted[record["action"]] = merged(noted.get(record["action"]), shape(record))
    return noted


def shape(value: Any) -> Any:
    """Which members, and of which JSON types; of a list that of all its elements together."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        whole = None
        for each in value:
            whole = merged(whole, shape(each))
        return [] if whole is None else [whole]
    kinds = {type(None): None, bool: "truth", int: "number", float: "number", str: "text"}
    return kinds[type(value)]


def merged(one: Any, other: Any) -> Any:
    """Two shapes as one: all members of both; null gives way."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: merged(one.get(name), other.get(name)) for name in one | other}
    if isinstance(one, list) and isinstance(other, list):
        return [merged(*pair)] if len(pair := one + other) == 2 else pair
    return other if one is None else one


def missing(due: Any, found: Any, where: str = "") -> list[str]:
    """What an earlier version's shape has and this one lacks, or has otherwise; more members are no fault."""
    if isinstance(due, dict) and isinstance(found, dict):
        gone = [f"{where}.{name} is gone" for name in due if name not in found]
        return gone + [
            each for name in due if name in found for each in missing(due[name], found[name], f"{where}.{name}")
        ]
    if isinstance(due, list) and isinstance(found, list):
        return missing(due[0], found[0], f"{where}[]") if due and found else []
    same = due is None or found is None or due == found
    return [] if same else [f"{where} was {due}, is {found}"]


if __name__ == "__main__":
    backoff.Backoff.pause = lambda *_: 0.05  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as place:
        told = asyncio.run(session(Site(Path(place))))
    Path(__file__).with_name("answers-0.1.json").write_text(
        json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    )
