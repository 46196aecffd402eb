"""Models, dead letters, configuration, audit trail, certificates and plugins, as the page shows them and to whom."""

import re
from pathlib import Path
from typing import Any

import pytest

from gateway import demo
from gateway.trust import verify_on
from plugins.web.screen import View
from plugins.web.tests.conftest import Running
from plugins.web.tests.people import add
from plugins.web.tests.test_page import form_of, logged_in, send, text
from plugins.web.views import upkeep
from plugins.web.views.models import models_page
from plugins.web.words import Words
from tests.app.plant import device
from tests.peers.certificates import Authority

MODEL = Path(demo.__file__).parent / "models" / "coater.onnx"


def shown(matter: str) -> str:
    return upkeep.address(matter)


async def test_each_matter_is_shown_in_both_languages(running: Running) -> None:
    async with running() as plant:
        add(plant, "root", "admin")
        root = await logged_in(plant, "root")
        for browser in (plant.browser(), root):
            for matter in upkeep.MATTERS:
                for language in ("en", "ko"):
                    page = await browser.get(shown(matter), accept_language=language)
                    assert page.status == 200, (matter, text(page))
                    assert "style=" not in page.body.decode()
        assert (await plant.browser().get("/system?show=%3Cscript%3E")).status == 200


async def test_a_model_is_shown_with_what_it_says_of_each_device(running: Running) -> None:
    model = f'[[model]]\nname = "coater"\nfile = "{MODEL}"\ndevices = ["oven"]\n'
    async with running("", model) as plant:
        add(plant, "quinn", "quality")
        add(plant, "vera", "viewer")
        quinn, vera = await logged_in(plant, "quinn"), await logged_in(plant, "vera")
        await plant.site.answered("models", lambda told: told[0]["state"] != "starting")
        page = await quinn.get(shown("models"))
        assert "coater" in text(page)
        assert "Roll back" in text(page)
        assert "Roll back" not in text(await vera.get(shown("models")))
        fields = {"form": form_of(page), "model": "coater", "reason": "test"}
        refused = await send(quinn, "/do/model_rollback", **fields)
        assert refused.status == 409, "there is no version before"
        assert (await send(vera, "/do/model_rollback", **fields)).status == 403
        assert (await send(plant.browser(), "/do/model_rollback", **fields)).status == 401
        assert (await send(quinn, "/do/write", **fields)).status == 404, "only what has a form"


async def test_the_configurations_mistakes_and_changes_are_shown_and_applied(running: Running) -> None:
    async with running() as plant:
        add(plant, "erin", "engineer")
        erin = await logged_in(plant, "erin")
        assert "Log in as an engineer" in text(await plant.browser().get(shown("configuration")))
        assert "says the same as what runs" in text(await erin.get(shown("configuration")))
        whole = plant.site.config.read_text()
        plant.site.config.write_text(whole + '[[device]]\nname = "<b>"\ncolour = 1\n')
        page = await erin.get(shown("configuration"))
        assert "It would not be applied" in text(page)
        assert "<b>" not in page.body.decode()
        plant.site.config.write_text(whole + device("press"))
        page = await erin.get(shown("configuration"))
        assert "press" in text(page).partition("would change")[2]
        assert "press" not in {each["name"] for each in (await plant.site.ask("status"))["devices"]}, "only looked at"
        done = await send(erin, "/do/reload", form=form_of(page))
        assert "The configuration is applied" in text(done)
        assert "press" in {each["name"] for each in (await plant.site.ask("status"))["devices"]}


async def test_the_audit_trail_is_shown_to_quality_with_its_state(running: Running) -> None:
    async with running() as plant:
        add(plant, "quinn", "quality")
        add(plant, "otto", "operator")
        assert "Log in as quality" in text(await (await logged_in(plant, "otto")).get(shown("audit trail")))
        quinn = await logged_in(plant, "quinn")
        said = text(await quinn.get(shown("audit trail")))
        assert re.search(r"\d+ records, all as they were written", said)
        assert "gateway.start" in said
        trail = plant.site.path / "state" / "audit.jsonl"
        first, rest = trail.read_text().split("\n", 1)
        trail.write_text(first.replace("gateway.start", "gateway.stark") + "\n" + rest)
        assert "The trail is damaged" in text(await quinn.get(shown("audit trail")))


async def test_dead_letters_are_listed_sent_again_and_thrown_away(running: Running) -> None:
    async with running() as plant:
        add(plant, "root", "admin")
        record = plant.site.far.records[0] if plant.site.far.records else None
        while record is None:
            await plant.more_is_read()
            record = plant.site.far.records[0] if plant.site.far.records else None
        plant.gateway.outbox.dead.add("central", record, "no <b>good")
        root = await logged_in(plant, "root")
        while "no <b>good" not in str(await plant.site.ask("dead_letters")):
            await plant.more_is_read()
        page = await root.get(shown("dead letters"))
        assert "no &lt;b&gt;good" in page.body.decode()
        (letter,) = await plant.site.ask("dead_letters")
        done = await send(root, "/do/dead_drop", form=form_of(page), ids=letter["id"])
        assert done.status == 303
        await plant.site.answered("dead_letters", lambda told: not told)


@pytest.mark.parametrize("shadow", [None, {"state": "failed", "reason": "broken"}])
def test_a_model_that_is_not_loaded_is_shown_all_the_same(shadow: Any) -> None:
    drift = {"psi": 0.31, "tag": "temp", "missing": 0, "outside": 0.25, "above": 0}
    watched = {"device": "oven", "state": "running", "reason": "", "score": 0.5, "event": None, "drift": drift}
    model = {
        "devices": [watched, {**watched, "score": None, "drift": None}],
        "name": "m",
        "file": "m.onnx",
        "state": "faulted",
        "reason": "no <file>",
        "shadow": shadow,
    }
    told = models_page(View(Words("en"), "g", {}, (), None, False), [model], {}, [], 0)
    assert "no &lt;file&gt;" in told
    assert "PSI 0.31 (temp), 25 % outside" in told


def test_scores_are_drawn_against_the_limit_with_holes_and_events() -> None:
    minute = 60_000
    ts = [0, 2 * minute, 30 * minute]
    scores = {"m": [{"device": "oven", "threshold": 1.0, "ts": ts, "scores": [0.25, 2.5, 0.125]}]}
    watched = {"device": "oven", "state": "running", "reason": "", "score": 0.125, "event": None, "drift": None}
    model = {"devices": [watched], "name": "m", "file": "m.onnx", "state": "up", "reason": ""}
    event = {
        "kind": "anomaly",
        "model": "m",
        "device": "oven",
        "ts": 2 * minute,
        "severity": "warning",
        "message": "<b>odd",
    }
    others = [{**event, "device": "press"}, {**event, "model": "n"}, {**event, "kind": "alarm"}, {**event, "ts": None}]
    told = models_page(View(Words("en"), "g", {}, (), None, False), [model], scores, [event, *others], 31 * minute)
    assert "Score 0.125, threshold 1" in told
    assert told.count("<title>") == told.count("&lt;b&gt;odd") == 1
    assert 'class="mark warn"' in told
    (path,) = (each.partition('"')[0] for each in told.split('<path d="')[1:] if 'class="curve"' in each.split(">")[0])
    assert path.count("M") == 2, "broken where no score was given"
    assert "no model" not in models_page(View(Words("ko"), "g", {}, (), None, False), [], {}, [], 0)


async def test_an_engineer_trusts_a_server_and_takes_it_back(running: Running, tmp_path: Path) -> None:
    async with running() as plant:
        rejected = plant.site.path / "state/pki/opcua/rejected"
        rejected.mkdir(parents=True, exist_ok=True)
        (rejected / "plc.pem").write_bytes(Authority(tmp_path).issue("plc-9").certificate.read_bytes())
        add(plant, "erin", "engineer")
        add(plant, "olga", "operator")
        erin, olga = await logged_in(plant, "erin"), await logged_in(plant, "olga")
        (known,) = [each for each in await plant.site.ask("certificates") if each["state"] == "rejected"]
        page = await erin.get(shown("certificates"))
        assert "compare the thumbprint" in text(page)
        fields = {"form": form_of(page), "folder": "opcua", "thumbprint": known["thumbprint"]}
        assert "<button>Trust" not in (await olga.get(shown("certificates"))).body.decode()
        assert (
            await send(olga, "/do/trust_accept", **{**fields, "form": form_of(await olga.get("/"))}, reason="x")
        ).status == 403
        assert (await send(erin, "/do/trust_accept", **{**fields, "form": "x"}, reason="x")).status == 403
        assert (await send(erin, "/do/trust_accept", **fields, reason="")).status == 400
        short = {**fields, "thumbprint": known["thumbprint"][:16]}
        assert (await send(erin, "/do/trust_accept", **short, reason="x")).status == 409
        for folder in ("../opcua", "/", "none"):
            assert (await send(erin, "/do/trust_accept", **{**fields, "folder": folder}, reason="x")).status == 409
        done = await send(erin, "/do/trust_accept", **fields, reason="compared at the PLC")
        assert (done.status, done.headers["location"]) == (303, shown("certificates"))
        assert [each["state"] for each in await plant.site.ask("certificates") if each["subject"] == "CN=plc-9"] == [
            "trusted"
        ]
        assert (await send(erin, "/do/trust_accept", **fields, reason="again")).status == 409
        assert (await send(erin, "/do/trust_revoke", **fields, reason="replaced")).status == 303
        told = [line for line in plant.site.audit() if line["action"].startswith("trust.")]
        assert [line["action"] for line in told] == [
            "trust.accept", "trust.accept.result", "trust.revoke", "trust.revoke.result",
        ]  # fmt: skip
        assert {line["who"] for line in told} == {"erin (engineer)"}
        assert (told[0]["target"], told[0]["why"]) == (known["thumbprint"], "compared at the PLC")


async def test_a_long_audit_trail_is_never_called_sound_before_it_is_verified(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as plant:
        add(plant, "quinn", "quality")
        quinn = await logged_in(plant, "quinn")
        monkeypatch.setattr(verify_on, "_LOOK", 1)
        monkeypatch.setattr("gateway.operate.queries.upkeep.AT_MOST", -1.0)
        page = text(await quinn.get(f"{shown('audit trail')}&anew=1"))
        assert "is being verified" in page
        assert "as they were written" not in page
        told = await plant.site.ask("audit", anew=1)
        assert (told["ok"], told["state"]) == (False, "verifying")
        monkeypatch.setattr("gateway.operate.queries.upkeep.AT_MOST", 1e9)
        told = await plant.site.ask("audit")
        assert (told["ok"], told["state"], told["problem"]) == (True, "sound", "")
        assert "is being verified" not in text(await quinn.get(shown("audit trail")))
