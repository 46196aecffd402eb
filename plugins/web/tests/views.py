"""The views of the page, and how people look at them."""

from collections.abc import Mapping

from plugins.web.tests.chromium import Tab
from plugins.web.tests.conftest import Plant
from plugins.web.tests.people import PASSWORD
from plugins.web.tests.scene import ANOMALY
from plugins.web.views.upkeep import MATTERS, address

SIZES = {"phone": (390, 844), "desk": (1440, 900), "wall": (1920, 1080)}
THEMES = ("light", "dark")


def views() -> Mapping[str, str]:
    """Name → path."""
    return {
        "first": "",
        "alarm": f"alarm?event={ANOMALY}",
        "device": "device?name=oven",
        "trend": "trend?device=mixer-1&tag=temperature&tag=speed&span=15m",
        "receipts": "receipts",
        **{each.replace(" ", "-"): address(each)[1:] for each in MATTERS},
        "write": "write?device=oven&tag=setpoint",
        "login": "login",
    }


async def log_in(tab: Tab, plant: Plant, name: str = "root") -> None:
    """As the page's own scripts would."""
    await tab.goto(f"{plant.address}healthz")
    said = f"JSON.stringify({{name: '{name}', password: '{PASSWORD}'}})"
    head = "{'content-type': 'application/json'}"
    status = await tab.run(
        f"fetch('/api/v1/session', {{method: 'POST', headers: {head}, body: {said}}}).then((answer) => answer.status)"
    )
    assert status == 200, status
