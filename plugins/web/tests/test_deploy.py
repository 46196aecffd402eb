"""What `deploy/` says of the metrics is true of them."""

import json
import re
import subprocess
from pathlib import Path

from plugins.web.metrics import render
from plugins.web.tests.conftest import Running

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "edge-gateway.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "edge-gateway.json"
NAME = re.compile(r"\b(?:edge_gateway|process)_\w+")


async def test_rules_and_dashboard_ask_for_metrics_that_there_are(running: Running) -> None:
    async with running() as plant:
        await plant.more_is_read()
        told = render(plant.gateway.status.now(), {}).decode()
    known = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    asked = NAME.findall(RULES.read_text()) + NAME.findall(DASHBOARD.read_text())
    assert len(set(asked)) > 25
    assert set(asked) - known == set()


def test_the_dashboard_has_no_two_panels_in_one_place() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    covered = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(covered)) == len(covered)
    assert max(x for x, _ in covered) < 24


def test_the_alert_rules_ring_when_they_should_and_not_before(promtool: str) -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "edge-gateway.rules.test.yml"]):
        done = subprocess.run(
            [promtool, *command], cwd=RULES.parent, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
