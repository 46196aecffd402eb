"""`edge-gateway trust`: which servers' certificates the gateway accepts. Needs no running gateway, and no restart of one."""

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, fail, in_words, joined, table
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
from gateway.core.text import cleaned, shown
from gateway.places.owner import as_owner
from gateway.places.person import person
from gateway.trust.audit import AuditTrail
from gateway.trust.certificates import Known, certificates, move, the_one

SOON = 30
"""Days before its end when a certificate is worth a warning."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with which certificate."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    listing = actions.add_parser("list", parents=[shared()], help="trusted and refused certificates, and our own")
    accepting = actions.add_parser("accept", parents=[shared()], help="trust a server whose certificate was refused")
    revoking = actions.add_parser("revoke", parents=[shared()], help="trust a certificate no longer")
    whole = "SHA-256 of the certificate, all of it; without, one of those that were refused is chosen by its number"
    accepting.add_argument("thumbprint", metavar="THUMBPRINT", nargs="?", help=whole)
    revoking.add_argument("thumbprint", metavar="THUMBPRINT", help="SHA-256 of the certificate, or how it begins")
    for action in (accepting, revoking):
        action.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    for action in (listing, accepting, revoking):
        action.add_argument(
            "--folder", type=Path, help="where the certificates lie (default: pki/opcua of the gateway)"
        )


def run(args: argparse.Namespace) -> int:
    """Show or decide; 1 when it cannot be done."""
    try:
        with at_state(args.config) as state, as_owner(args.folder or state):
            folder = args.folder or state / "pki/opcua"
            if args.what == "list":
                return _list(certificates(folder), args.json, folder)
            return _decide(args, folder, state / "audit.jsonl")
    except GatewayError as error:
        fail(str(error))
    except PermissionError as error:
        may = "look into" if args.what == "list" else "change"
        fail(f"you may not {may} {error.filename}: try  sudo edge-gateway trust {args.what}")
    except OSError as error:
        fail(in_words(error))
    return 1


def _list(found: list[Known], as_json: bool, folder: Path) -> int:
    now = datetime.datetime.now(datetime.UTC)
    if as_json:
        print(json.dumps([_entry(known, now) for known in found], indent=1))
    elif not found:
        print(f"no certificates in {folder}")
    else:
        rows = [(known.state, known.thumbprint, _until(known, now), known.subject) for known in found]
        head, *rest = table([("STATE", "THUMBPRINT", "VALID", "SUBJECT"), *rows])
        print(joined([colour(head, "bold"), *rest]))
    return 0


def _entry(known: Known, now: datetime.datetime) -> dict[str, Any]:
    return {
        "state": known.state,
        "thumbprint": known.thumbprint,
        "subject": known.subject,
        "until": known.until.isoformat(),
        "days_left": (known.until - now).days,
        "file": str(known.path),
    }


def _until(known: Known, now: datetime.datetime) -> str:
    days = (known.until - now).days
    if days < 0:
        return f"expired {known.until:%Y-%m-%d}"
    return f"until {known.until:%Y-%m-%d}" + (f", {days} days" if days < SOON else "")


def _decide(args: argparse.Namespace, folder: Path, audit: Path) -> int:
    before, after = ("rejected", "trusted") if args.what == "accept" else ("trusted", "rejected")
    known = the_one(folder, args.thumbprint, before) if args.thumbprint else _asked(folder)
    # What the trail cannot tell does not happen. Where a gateway has its certificates, it has its trail.
    if audit.exists() or not args.folder:
        audit.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        why = {"why": cleaned(args.reason)} if args.reason else {}
        trail = AuditTrail(audit, SystemClock())
        trail.write(f"trust.{args.what}", person(), target=known.thumbprint, subject=known.subject, **why)
    move(known, after)
    print(shown(f"{after}: {known.subject} ({known.thumbprint}); the gateway goes by it at its next attempt"))
    return 0


def _asked(folder: Path) -> Known:
    """The one that a person chooses. Raises GatewayError."""
    refused = [known for known in certificates(folder) if known.state == "rejected"]
    if not refused:
        raise GatewayError(f"no certificate waits for a decision in {folder}")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise GatewayError("name the certificate by its whole SHA-256 thumbprint: edge-gateway trust list shows it")
    for number, known in enumerate(refused, 1):
        print(joined(shown(line) for line in _in_full(number, known)))
    answer = input("Compare the thumbprint with what the server itself shows. Which number is to be trusted? ").strip()
    if not answer.isdecimal() or not 1 <= int(answer[:6]) <= len(refused):
        raise GatewayError("nothing was changed: write one of the numbers")
    return refused[int(answer[:6]) - 1]


def _in_full(number: int, known: Known) -> list[str]:
    digits = known.thumbprint.upper()
    spaced = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
    now = datetime.datetime.now(datetime.UTC)
    parts = known.subject, _until(known, now), f"SHA-256 {spaced[:47]}", f"{'':7} {spaced[48:]}"
    return [f"{str(number) if not at else '':>3}  {part}" for at, part in enumerate(parts)]
