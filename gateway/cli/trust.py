"""`edge-gateway trust`: which servers' certificates the gateway accepts. Needs no running gateway, and no restart of one."""

import argparse
import datetime
import getpass
import json
import os
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.places import SERVICE, state_dir, told_state_dir
from gateway.cli.terminal import colour, config_path, fail, table
from gateway.core.clock import SystemClock
from gateway.core.errors import GatewayError
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
    for action in (accepting, revoking):
        action.add_argument("thumbprint", metavar="THUMBPRINT", help="SHA-256 of the certificate, or how it begins")
        action.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    for action in (listing, accepting, revoking):
        action.add_argument(
            "--folder", type=Path, help="where the certificates lie (default: pki/opcua of the gateway)"
        )


def run(args: argparse.Namespace) -> int:
    """Show or decide; 1 when it cannot be done."""
    folder = args.folder or default_folder(config_path(args.config))
    try:
        if args.what == "list":
            return _list(certificates(folder), args.json, folder)
        return _decide(args, folder)
    except GatewayError as error:
        fail(str(error))
    except PermissionError as error:
        fail(f"you may not change {error.filename}: try  sudo edge-gateway trust {args.what}")
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}")
    return 1


def default_folder(config: Path) -> Path:
    """Where the gateway that this file describes keeps certificates: in its state_dir, else where the service does, or the
    user's own gateway."""
    if (told := told_state_dir(config)) is not None:
        return told / "pki/opcua"
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    own = Path.home() / ".local/state/edge-gateway"
    return Path(given or (SERVICE if (SERVICE / "pki").is_dir() else own)) / "pki/opcua"


def _list(found: list[Known], as_json: bool, folder: Path) -> int:
    now = datetime.datetime.now(datetime.UTC)
    if as_json:
        print(json.dumps([_entry(known, now) for known in found], indent=1))
    elif not found:
        print(f"no certificates in {folder}")
    else:
        rows = [(known.state, known.thumbprint[:16], _until(known, now), known.subject) for known in found]
        head, *rest = table([("STATE", "THUMBPRINT", "VALID", "SUBJECT"), *rows])
        print("\n".join([colour(head, "bold"), *rest]))
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


def _decide(args: argparse.Namespace, folder: Path) -> int:
    before, after = ("rejected", "trusted") if args.what == "accept" else ("trusted", "rejected")
    known = the_one(folder, args.thumbprint, before)
    trail = AuditTrail(state_dir(config_path(args.config)) / "audit.jsonl", SystemClock()) if _has_trail(args) else None
    if trail is not None:  # what the trail cannot tell does not happen
        why = {"why": args.reason} if args.reason else {}
        trail.write(f"trust.{args.what}", getpass.getuser(), target=known.thumbprint, subject=known.subject, **why)
    move(known, after)
    print(f"{after}: {known.subject} ({known.thumbprint[:16]}); the gateway goes by it at its next attempt")
    return 0


def _has_trail(args: argparse.Namespace) -> bool:
    return (state_dir(config_path(args.config)) / "audit.jsonl").exists()
