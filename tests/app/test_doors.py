"""What goes through the doors for plugins: each is a file in `tests/app/plugins`, and nothing in the gateway knows it."""

import pytest

from gateway.cli.config.check import check
from tests.app.plant import Site, device, sink


def either(name: str, more: str) -> str:
    """A [[device]] that polls or subscribes."""
    return device(name, more).replace('"lab"', '"either"')


async def test_a_line_polls_or_subscribes_as_its_configuration_says(site: Site) -> None:
    site.write(sink(), either("asked", ""), either("reporting", "reports = true"))
    async with site.running():
        await site.heard("north/asked", lambda body: 1 < body["values"]["temp"] < 1000)
        await site.heard("north/reporting", lambda body: body["values"]["temp"] > 1001)
        (now,) = await site.ask("read", device="reporting", tags=["temp"])
        assert 0 < now["value"] < 1000, "what a person asks for is read at once"
        site.write(sink(), either("asked", "reports = true"), either("reporting", ""))
        await site.ask("reload")
        since = len(site.far.story)
        await site.heard("north/asked", lambda body: body["values"]["temp"] > 1001, since)
        await site.heard("north/reporting", lambda body: 1 < body["values"]["temp"] < 1000, since)


def test_check_tells_of_a_device_that_shares_a_line_and_is_to_be_read_otherwise(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(either("asked", 'bus = "b"'), either("reporting", 'bus = "b"\nreports = true'))
    assert check(site.config) == 0
    assert 'line of "asked": reporting will be polled, as the first device' in capsys.readouterr().out
