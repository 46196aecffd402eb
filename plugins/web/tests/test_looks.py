"""What probes and Prometheus ask for."""

import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.plugin import GatewayStatus
from plugins.web.metrics import MANY, render
from plugins.web.tests.conftest import Running


async def test_it_says_that_it_lives_and_is_ready(running: Running) -> None:
    async with running() as plant:
        browser = plant.browser()
        alive, ready = await browser.get("/healthz"), await browser.get("/readyz")
        assert (alive.status, alive.json()) == (200, {"alive": True})
        assert (ready.status, ready.json()) == (200, {"ready": True, "reason": ""})


async def test_a_dead_device_and_a_dead_broker_are_not_unready(running: Running) -> None:
    async with running() as plant:
        browser = plant.browser()
        plant.site.bench.connecting.clear()
        plant.site.bench.lost.add("oven")
        plant.site.far.down = True
        text = ""
        while 'sink="central"} 0.0' not in text or 'device_up{device="oven",driver="lab"} 0.0' not in text:
            text = (await browser.get("/metrics")).body.decode()
        assert (await browser.get("/readyz")).status == 200
        plant.site.bench.connecting.set()


async def test_a_disk_that_takes_nothing_is_not_ready(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as plant:
        whole = plant.gateway.outbox.status
        monkeypatch.setattr(plant.gateway.outbox, "status", lambda: replace(whole(), disk="No space left on device"))
        browser = plant.browser()
        while (answer := await browser.get("/readyz")).status == 200:
            await plant.more_is_read()
        assert (answer.status, answer.json()["ready"]) == (503, False)


async def test_metrics_follow_what_is_read(running: Running) -> None:
    async with running() as plant:
        await plant.more_is_read()
        answer = await plant.browser().get("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = answer.body.decode()
        assert 'edge_gateway_device_up{device="oven",driver="lab"} 1.0' in text
        assert 'edge_gateway_device_tags{device="oven"} 2.0' in text
        assert 'edge_gateway_sink_up{plugin="memory",sink="central"} 1.0' in text
        assert "temp" not in text, "tags are no labels"


async def a_status(running: Running) -> GatewayStatus:
    async with running() as plant:
        await plant.more_is_read()
        return plant.gateway.status.now()


async def test_the_number_of_series_is_bounded_and_says_what_is_left_out(running: Running) -> None:
    status = await a_status(running)
    (oven,) = status.devices
    few = render(status, {}).decode().count("\n")
    ovens = [replace(oven, name=f"oven-{number}") for number in range(2_000)]
    many = render(replace(status, devices=ovens), {}).decode()
    assert many.count("\n") - few < 10 * MANY
    assert f'edge_gateway_parts_left_out{{kind="device"}} {2_000 - MANY}.0' in many


async def test_odd_names_are_labels_that_prometheus_reads(running: Running) -> None:
    status = await a_status(running)
    odd = replace(status.devices[0], name='a "quoted" \\ name\nof two lines, \N{DEGREE SIGN}C')
    told = render(replace(status, devices=[odd]), {"answered 404": 3}).decode()
    (family,) = (each for each in text_string_to_metric_families(told) if each.name == "edge_gateway_device_up")
    assert family.samples[0].labels["device"] == odd.name
    assert 'edge_gateway_web_refused_total{why="answered 404"} 3.0' in told


async def test_promtool_finds_nothing_to_say(running: Running, promtool: str) -> None:
    told = render(await a_status(running), {"answered 404": 3})
    done = subprocess.run([promtool, "check", "metrics"], input=told, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
