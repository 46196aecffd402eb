"""Writes the configuration, the broker's password, and which addresses the service may speak to."""

import ipaddress
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from gateway.cli.config.secret import Store, store
from gateway.cli.setup.answers import Answers, AnswersError, toml_of
from gateway.cli.setup.asking import GaveUpError, yes
from gateway.config.fields import host_and_port
from gateway.places.durable import write_whole
from gateway.places.state_dir import CONFIG

DROP_INS = Path("/etc/systemd/system/edge-gateway.service.d")
DROP_IN = "50-setup-addresses.conf"
PASSWORD = "mqtt-password"
_ALLOWED = [
    ipaddress.ip_network(each)
    for each in (
        "127.0.0.0/8",
        "::1/128",
        "169.254.0.0/16",
        "fe80::/64",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
    )
]
"""What the unit's address filter lets through: this machine, its links, and private networks (RFC 1918)."""


@dataclass(slots=True)
class SetupFiles:
    """What was written."""

    config: Path
    copy: Path | None = None
    """Of the configuration that was there."""
    drop_in: Path | None = None
    remarks: list[str] = field(default_factory=list)


def may_replace(config: Path) -> None:
    """Ask before a configuration that is there is replaced. Raises GaveUpError."""
    explained = "The old one is kept beside it, under another name."
    if config.exists() and not yes(f"{config} is there already. Replace it", False, explained):
        raise GaveUpError("given up, nothing was written")


def kept_copy(written: SetupFiles) -> list[str]:
    """What to say of the configuration that was there."""
    return [f"  the one before is in {written.copy}"] if written.copy else []


def write(config: Path, answers: Answers, drop_ins: Path) -> SetupFiles:
    """All of it, or nothing where one of them cannot be written; the configuration last. Raises OSError and GatewayError."""
    done = SetupFiles(config)
    config.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    secrets = store() if config == CONFIG else Store(config.parent)
    if config.exists():
        done.copy = config.with_name(f"{config.name}.before-setup-{time.strftime('%Y%m%d-%H%M%S')}")
        if done.copy.exists():
            raise AnswersError(f"{done.copy} is there already: wait a second")
    touched = [folder / PASSWORD for folder in (secrets.folder, secrets.encrypted) if folder is not None]
    with _as_before_if_it_fails(*touched, drop_ins / DROP_IN, *filter(None, [done.copy]), config):
        password = _keep_password(secrets, config, answers, done) if answers.password else None
        _allow_addresses(answers, drop_ins, done)
        if done.copy is not None:
            write_whole(done.copy, config.read_bytes())
            _as_beside(done.copy)
        write_whole(config, toml_of(answers, password).encode())
        _as_beside(config)
    return done


@contextmanager
def _as_before_if_it_fails(*paths: Path) -> Iterator[None]:
    """Keeps a second name of each file, which needs no room on a disk that is full."""
    kept: dict[Path, Path | None] = {}
    try:
        for path in paths:
            before = path.with_name(f".{path.name}.before")
            before.unlink(missing_ok=True)
            if there := path.exists():
                os.link(path, before)
            kept[path] = before if there else None
        yield
    except BaseException:
        for path, second in kept.items():
            if second is not None:
                second.replace(path)
            else:
                path.unlink(missing_ok=True)
        raise
    finally:
        for second in filter(None, kept.values()):
            second.unlink(missing_ok=True)


def _as_beside(path: Path) -> None:
    """The group of the folder may read it, as which the service runs; others may not."""
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, -1, path.parent.stat().st_gid)


def _keep_password(secrets: Store, config: Path, answers: Answers, done: SetupFiles) -> Mapping[str, str]:
    """As a credential of the service, or, beside any other configuration, in a file that only its owner can read."""
    for folder in (secrets.folder, secrets.encrypted):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    another = " (the one of that name before is gone)" if PASSWORD in secrets.places() else ""
    secrets.keep(PASSWORD, answers.password.encode())
    done.remarks.append(f"  the broker's password is the secret {PASSWORD}, {secrets.protection()}{another}")
    return {"credential": PASSWORD} if config == CONFIG else {"file": PASSWORD}


def _allow_addresses(answers: Answers, drop_ins: Path, done: SetupFiles) -> None:
    """A drop-in for addresses that the unit's filter would hold back."""
    outside = sorted({each for host in _hosts(answers) for each in _addresses(host) if not _is_allowed(each)})
    if not outside:
        return
    text = "# Written by edge-gateway setup: addresses outside of private networks that the configuration names.\n[Service]\n"
    text += "".join(f"IPAddressAllow={each}\n" for each in outside)
    if not drop_ins.parent.is_dir() or not os.access(drop_ins if drop_ins.is_dir() else drop_ins.parent, os.W_OK):
        done.remarks.append(f"  the service's address filter needs:  IPAddressAllow={' '.join(outside)}")
        return
    drop_ins.mkdir(exist_ok=True, mode=0o755)
    done.drop_in = drop_ins / DROP_IN
    write_whole(done.drop_in, text.encode())
    done.drop_in.chmod(0o644)
    done.remarks.append(f"  {done.drop_in} lets the service speak to {', '.join(outside)}")


def _hosts(answers: Answers) -> Iterator[str]:
    for options in (answers.broker, *answers.devices):
        yield from (str(options[key]) for key in ("host",) if options.get(key))
        yield from (host_and_port(str(each))[0] for each in options.get("standby", ()))
        for url in (options.get("url"), options.get("proxy", {}).get("url")):
            yield (urlsplit(str(url)).hostname or "") if url else ""


def _addresses(host: str) -> list[str]:
    try:
        return list({str(found[4][0]).split("%")[0]: None for found in socket.getaddrinfo(host, None)})
    except (OSError, UnicodeError):
        return []


def _is_allowed(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.is_multicast or any(address in network for network in _ALLOWED if network.version == address.version)
