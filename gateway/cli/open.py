"""`edge-gateway open`: where the gateway's page is."""

import argparse
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from gateway.cli.frame.asking import UNREACHABLE
from gateway.cli.frame.client import AnswerError, NoGatewayError, call, socket_path
from gateway.cli.frame.terminal import fail, joined
from gateway.core.text import shown

PLUGIN = "web"
MISSING = """this gateway has no page; write into its configuration, then edge-gateway reload:
    [[service]]
    name = "page"
    plugin = "web\""""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own options: none."""


def run(args: argparse.Namespace) -> int:
    """Ask and print; 1 when there is no page, or it does not work."""
    path = socket_path(args.socket)
    try:
        pages = [each for each in call(path, "status").get("services", ()) if each["plugin"] == PLUGIN]
        working = [each for each in pages if each["state"] == "up"]
        addresses = [call(path, f"{each['name']}.address")["address"] for each in working]
    except NoGatewayError as error:
        fail(str(error))
        return UNREACHABLE
    except AnswerError as error:
        fail(str(error))
        return 1
    for page in pages:
        if page not in working:
            fail(shown(f"service {page['name']} is {page['state']}: {page['reason'] or 'try again in a moment'}"))
    if not pages:
        fail(MISSING)
    if addresses:
        print(json.dumps(addresses) if args.json else joined(line for each in addresses for line in lines(each)))
    return 0 if addresses else 1


def lines(address: str) -> Iterator[str]:
    """The address, and for one that only this machine reaches the way from another."""
    yield shown(address)
    parts: Any = urlsplit(address)
    if parts.hostname in ("localhost", "::1") or str(parts.hostname).startswith("127."):
        here = shown(f"ssh -L {parts.port}:{parts.netloc} {socket.gethostname()}")
        yield f"from another machine:  {here}  and then open {parts.scheme}://localhost:{parts.port}/ there"
