from pathlib import Path

import pytest
import tomli

from gateway.app import look_up
from gateway.cli import main
from gateway.config.load import load
from gateway.core.errors import ConfigError
from plugins.web.config import WebConfig
from tests.app.plant import Site, device, sink

HERE = Path(__file__).parents[1]


def said(site: Site, options: str) -> list[str]:
    """What is wrong with a page of these options."""
    site.write(sink(), device("oven"), f'[[service]]\nname = "page"\nplugin = "web"\n{options}\n')
    with pytest.raises(ConfigError) as refused:
        load(site.config, look_up)
    return [f"{problem.where}: {problem.message}" for problem in refused.value.problems]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gw1.plant.local", "localhost.evil.example"])
def test_other_machines_reach_it_only_over_tls(site: Site, host: str) -> None:
    (problem,) = said(site, f'host = "{host}"')
    assert f'service "page": host: other machines reach "{host}", so it needs tls = {{ certificate' in problem
    assert "ssh -L 8080:localhost:8080" in problem


def test_what_tls_needs_is_told(site: Site) -> None:
    assert "tls: needs the certificate to show" in said(site, "tls = {}")[0]
    assert "write names instead" in said(site, 'tls = { certificate = "a.pem", server_name = "gw1" }')[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost", "LOCALHOST."])
def test_this_machine_alone_needs_none(host: str) -> None:
    assert WebConfig(name="page", plugin="web", host=host).is_local


def test_a_name_from_elsewhere_means_that_others_look() -> None:
    assert not WebConfig(name="page", plugin="web", names=("gw1.plant.local",)).is_local


def test_the_sample_is_valid() -> None:
    (table,) = tomli.loads((HERE / "sample.toml").read_text())["service"]
    assert WebConfig(**table).port == 8080


def test_check_looks_at_the_certificate_as_the_page_will(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    (site.path / "page.pem").write_bytes(b"\x30\x82 no PEM")
    tls = 'tls = { certificate = "page.pem", key = "none.key" }'
    site.write(sink(), device("oven"), f'[[service]]\nname = "page"\nplugin = "web"\n{tls}\n')
    main(["check", "--config", str(site.config)])
    said = capsys.readouterr()
    assert 'service "page"' in said.out + said.err
    assert "page.pem" in said.out + said.err
