"""Certificates that end are told in time: in status, as an event once each, and by `check`."""

import asyncio
import datetime
import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config.tls import Tls
from gateway.dial import TlsOptions, expiry, tls_context
from gateway.dial.der import certificates_in
from gateway.operate import headline
from tests.peers.broker import Broker
from tests.peers.certificates import DAY, Authority
from tests.peers.ports import free_port
from tests.peers.s_server import s_server

from .plant import Site, device, sink

pytestmark = pytest.mark.timeout(120)


def broker(authority: Authority, own: str, days: float) -> str:
    issued = authority.issue(own, valid=days * DAY)
    files = f'ca = "{authority.certificate}", certificate = "{issued.certificate}", key = "{issued.key}"'
    return f'[[sink]]\nname = "{own}"\nplugin = "mqtt"\nhost = "127.0.0.1"\nport = {free_port()}\ntls = {{ {files} }}\n'


async def test_what_ends_soon_is_in_status_and_an_event_once_over_a_restart(site: Site, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    expiry.note_far_side(
        "127.0.0.1", certificates_in(authority.issue("before", valid=-DAY).certificate.read_bytes())[0]
    )
    tables = [sink(), device("oven"), broker(authority, "soon", 20.5), broker(authority, "gone", -2.5)]
    site.write(*tables)

    def said() -> list[tuple[str, str, str]]:
        events = [body for _, body in site.far.story if body.get("kind") == "certificate"]
        return [(body["state"], body["severity"], body["name"]) for body in events]

    async with site.running():
        await site.until(lambda: len(said()) == 2, "two events")
        assert said() == [("expired", "alarm", "CN=gone"), ("expires", "warning", "CN=soon")]
        status = await site.answered("status", lambda answer: answer["certificates"])
        found = {each["name"]: each for each in status["certificates"]}
        assert found["CN=soon"]["left_s"] == pytest.approx(20.5 * 86_400, abs=600)
        assert (found["CN=soon"]["due"], found["CN=plant authority"]["due"]) == (True, False)
        assert [each["name"] for each in status["certificates"]] == ["CN=gone", "CN=soon", "CN=plant authority"]
        troubles = [(each.text, each.severe) for each in headline.troubles(status) if "renew it" in each.text]
        assert [("CN=gone has expired" in text, severe) for text, severe in troubles] == [(True, True), (False, False)]
    site.write(*tables[:-1], broker(authority, "gone", 5))
    async with site.running():
        await site.until(lambda: len(said()) == 3, "the new certificate's event")
        assert said()[2] == ("expires", "alarm", "CN=gone"), "the other one was told before the restart"
    told = json.loads((site.path / "state" / "certificates.json").read_text())
    assert sorted(told.values()) == [7, 30]


async def test_an_odd_note_of_what_was_told_costs_a_repeat_and_nothing_else(site: Site, tmp_path: Path) -> None:
    site.write(sink(), device("oven"), broker(Authority(tmp_path), "soon", 20))
    for odd in (b"[1, 2", b"[1, 2]", b'{"a": "b"}', b"\xff"):
        (site.path / "state").mkdir(exist_ok=True)
        (site.path / "state" / "certificates.json").write_bytes(odd)
        before = len(site.far.story)
        async with site.running():
            await site.until(
                lambda: any(body.get("kind") == "certificate" for _, body in site.far.story[before:]),  # noqa: B023
                "the event",
            )


async def test_a_far_sides_certificate_is_known_from_the_handshake(tmp_path: Path) -> None:
    expiry.forget_far_sides()
    authority = Authority(tmp_path)
    own = authority.issue("127.0.0.1", valid=6 * DAY)

    async def shake() -> None:
        with s_server(own) as port:
            context = await asyncio.to_thread(tls_context, TlsOptions(ca=authority.certificate))
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
            writer.close()

    await shake()
    now = datetime.datetime.now(datetime.UTC)
    (seen,) = expiry.of_far_sides(["127.0.0.1:8883"])
    assert (seen.name, seen.due(now)) == ("CN=127.0.0.1", 7)
    assert "shown by 127.0.0.1: CN=127.0.0.1 expires in 6 days, on 20" in seen.words(now)
    assert expiry.of_far_sides(["elsewhere"]) == []
    own = authority.issue("127.0.0.1", valid=600 * DAY)
    await shake()
    assert [each.due(now) for each in expiry.of_far_sides(["127.0.0.1"])] == [None]


@pytest.mark.parametrize(
    ("days", "due"), [(61, None), (59, 60), (31, 60), (29, 30), (8, 30), (6, 7), (0.5, 7), (-1, 0)]
)
def test_it_is_said_at_60_30_and_7_days_and_at_the_end(days: float, due: int | None) -> None:
    now = datetime.datetime.now(datetime.UTC)
    assert expiry.Dated("x", "CN=a", now + days * DAY, "0").due(now) == due


def test_revocation_lists_and_bundles_are_read_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate.read_bytes() * 21)
    crl = authority.revoke(valid=DAY / 2)
    options = [("tls", Tls.model_validate({"ca": str(bundle), "crl": str(crl)}))]
    now = datetime.datetime.now(datetime.UTC)
    (listed,) = expiry.dated_in(options)
    assert (listed.name, listed.due(now)) == ("the list of CN=plant authority", 1)
    crl.unlink()
    assert list(expiry.dated_in(options)) == []


def test_check_says_what_ends_soon(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(sink(), device("oven"), broker(Authority(tmp_path), "soon", 20.5))
    main(["check", str(site.config)])
    said = capsys.readouterr()
    assert "CN=soon expires in 20 days, on 20" in said.out + said.err


async def test_a_reload_leaves_a_good_link_alone_when_our_own_certificate_was_renewed(
    site: Site, tmp_path: Path
) -> None:
    """The next connection shows it; whom we believe is another matter."""
    authority = Authority(tmp_path)
    server, own = authority.issue("127.0.0.1"), authority.issue("gw")
    lines = [f"certfile {server.certificate}", f"keyfile {server.key}", f"cafile {authority.certificate}"]
    with Broker(tmp_path, [*lines, "require_certificate true"]) as mosquitto:
        files = f'ca = "{authority.certificate}", certificate = "{own.certificate}", key = "{own.key}"'
        dialled = f'plugin = "mqtt"\nhost = "127.0.0.1"\nport = {mosquitto.port}\ntls = {{ {files} }}\n'
        site.write(device("oven"), f'[[sink]]\nname = "central"\n{dialled}')

        async def connected() -> int:
            await site.answered("status", lambda answer: answer["sinks"][0]["state"] == "up")
            return mosquitto.log.read_text().count("New client connected")

        async with site.running():
            assert await connected() == 1
            authority.issue("gw")
            said = "sink central: its own certificate has changed, and the next connection shows it"
            assert (await site.ask("reload"))["changes"] == [said]
            assert await connected() == 1
            assert (await site.ask("reload"))["changes"] == []
            both = authority.certificate.read_bytes() + Authority(tmp_path, "other").certificate.read_bytes()
            authority.certificate.write_bytes(both)
            assert "certificates have changed" in (await site.ask("reload"))["changes"][0]
            assert await connected() == 2
