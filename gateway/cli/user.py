"""`edge-gateway user`: who may log in at the page, and with which tokens machines come. Needs no running gateway, and a
running one knows of it at the next request."""

import argparse
import getpass
import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.cli.frame import shared
from gateway.cli.frame.places import at_state
from gateway.cli.frame.terminal import colour, fail, in_words, joined, table
from gateway.core.amounts import parse_duration
from gateway.core.clock import SystemClock
from gateway.core.command import ADMIN, ENGINEER, OPERATOR, QUALITY, VIEWER
from gateway.core.errors import GatewayError
from gateway.core.text import shown
from gateway.places.person import person
from gateway.trust.audit import AuditTrail
from gateway.trust.passwords import LONGEST, doubtful, hashed
from gateway.trust.users import NAME, User, UserFile, Users, UsersError, changed, new_token, user_named

ROLES = (VIEWER, OPERATOR, ENGINEER, QUALITY, ADMIN)
YEARS = 5 * 366 * 86_400
"""Seconds that a token may last."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and with whom."""
    actions = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    adding = actions.add_parser("add", parents=[shared()], help="somebody new, with a role and a password")
    setting = actions.add_parser("password", parents=[shared()], help="another password; logins of before are over")
    roles = actions.add_parser("role", parents=[shared()], help="other roles; logins of before are over")
    off = actions.add_parser(
        "disable", parents=[shared()], help="nothing goes by this name any more, nor by its tokens"
    )
    on = actions.add_parser("enable", parents=[shared()], help="take that back")
    actions.add_parser("list", parents=[shared()], help="users and tokens")
    making = actions.add_parser("token", parents=[shared()], help="a token for a script or a machine; shown once")
    ending = actions.add_parser("revoke", parents=[shared()], help="a token counts no more")
    for action in (adding, setting, roles, off, on, making):
        action.add_argument("name", metavar="NAME", help="the user")
    for action in (adding, roles, making):
        action.add_argument(
            "--role", action="append", required=True, choices=ROLES, metavar="ROLE", dest="roles",
            help=f"{', '.join(ROLES[:-1])} or {ROLES[-1]}; may be given more than once",
        )  # fmt: skip
    for action in (adding, setting):
        action.add_argument("--password-stdin", action="store_true", help="read the password from the standard input")
    making.add_argument("--for", dest="time", default="90d", metavar="TIME", help='how long it counts (default: "90d")')
    making.add_argument(
        "--only", nargs="+", default=[], metavar="COMMAND", help="the only commands that it may, such as status tags"
    )
    ending.add_argument("token", metavar="ID", help="as the list shows it")


def run(args: argparse.Namespace) -> int:
    """Show or change; 1 when it cannot be done, 2 for what cannot be meant."""
    try:
        with at_state(args.config) as state:
            if args.what == "list":
                return _list(UserFile(state).current(), args.json)
            if not state.is_dir():
                raise GatewayError(f"there is no {state}: start the gateway once, or name its configuration (--config)")
            return _change(args, state)
    except GatewayError as error:
        fail(str(error))
    except PermissionError as error:
        fail(f"you may not change {error.filename}: try  sudo edge-gateway user {args.what}")
    except OSError as error:
        fail(in_words(error))
    return 1


def _change(args: argparse.Namespace, state: Path) -> int:
    """What the trail cannot tell does not happen."""
    secret = ""
    if args.what in ("add", "password"):
        _look_first(args, UserFile(state).current())
        secret = hashed(_password(args))
    with UserFile(state).changing() as users:
        told, said, fields = _done(args, users, secret)
        trail = AuditTrail(state / "audit.jsonl", SystemClock())
        trail.write(f"user.{args.what}", person(), target=told, **fields)
    print(joined(said))
    return 0


def _look_first(args: argparse.Namespace, users: Users) -> None:
    """Before anybody types a password."""
    if args.what == "password":
        user_named(users, args.name)
    elif args.name in users.users:
        raise UsersError(f"{args.name} is there already: edge-gateway user password {args.name} gives another password")
    elif not NAME.fullmatch(args.name):
        raise UsersError("a name has small letters, digits, dots and hyphens, at most 32, and begins with a letter")


def _done(args: argparse.Namespace, users: Users, secret: str) -> tuple[str, list[str], dict[str, Any]]:
    """Whom it is about, what is printed, and what the trail has besides."""
    if args.what == "revoke":
        if users.tokens.pop(args.token, None) is None:
            raise UsersError(f'there is no token "{args.token}": edge-gateway user list')
        return args.token, [shown(f"token {args.token} counts no more")], {}
    if args.what == "add":
        _look_first(args, users)
        roles = tuple(dict.fromkeys(args.roles))
        users.users[args.name] = changed(User(args.name, roles, secret))
        return args.name, [f"{args.name} may log in as {', '.join(roles)}"], {"roles": list(roles)}
    user = user_named(users, args.name)
    match args.what:
        case "password":
            users.users[user.name] = changed(user, password=secret)
            return user.name, [f"{user.name} has another password; logins of before are over"], {}
        case "role":
            roles = tuple(dict.fromkeys(args.roles))
            users.users[user.name] = changed(user, roles=roles)
            return user.name, [f"{user.name} is {', '.join(roles)} from now on"], {"roles": list(roles)}
        case "token":
            return _made(args, users, user)
    off = args.what == "disable"
    users.users[user.name] = changed(user, disabled=off)
    return user.name, [f"{user.name} {'is disabled, with all tokens' if off else 'may log in again'}"], {}


def _made(args: argparse.Namespace, users: Users, user: User) -> tuple[str, list[str], dict[str, Any]]:
    try:
        seconds = parse_duration(args.time)
    except ValueError as error:
        raise UsersError(f"--for: {error}") from None
    if not 0 < seconds <= YEARS:
        raise UsersError("--for: at most five years")
    roles, commands = tuple(dict.fromkeys(args.roles)), tuple(dict.fromkeys(args.only))
    token, secret = new_token(user.name, roles, int(time.time() + seconds), commands)
    users.tokens[token.id] = token
    fields = {"user": user.name, "roles": list(roles), "commands": list(commands), "until": token.until}
    fail(f"token {token.id} counts until {_moment(token.until)}; it is shown this once:")
    return token.id, [secret], fields


def _password(args: argparse.Namespace) -> str:
    if args.password_stdin:
        password = sys.stdin.readline(4 * LONGEST).rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise UsersError("there is no terminal to type a password: --password-stdin")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Once more: ") != password:
            raise UsersError("these were two passwords; nothing was changed")
    if why := doubtful(password, args.name):
        raise UsersError(f"this password will not do: {why}")
    return password


def _list(users: Users, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"users": list(_user_entries(users)), "tokens": list(_token_entries(users))}, indent=1))
        return 0
    if not users.users:
        print("no users: edge-gateway user add NAME --role viewer")
        return 0
    rows = [(user.name, ", ".join(user.roles), "disabled" if user.disabled else "") for user in users.users.values()]
    head, *rest = table([("USER", "ROLES", ""), *rows])
    lines = [colour(head, "bold"), *rest]
    if users.tokens:
        tokens = [
            (
                each["id"],
                each["user"],
                ", ".join(each["roles"]),
                each["until"],
                each["state"],
                " ".join(each["commands"]),
            )
            for each in _token_entries(users)
        ]
        head, *rest = table([("TOKEN", "USER", "ROLES", "UNTIL", "", "ONLY"), *tokens])
        lines += ["", colour(head, "bold"), *rest]
    print(joined(lines))
    return 0


def _user_entries(users: Users) -> Iterator[dict[str, Any]]:
    for user in users.users.values():
        yield {"name": user.name, "roles": list(user.roles), "disabled": user.disabled}


def _token_entries(users: Users) -> Iterator[dict[str, Any]]:
    for token in users.tokens.values():
        owner = users.users.get(token.user)
        off = owner is None or owner.disabled
        yield {
            "id": token.id,
            "user": token.user,
            "roles": list(token.roles),
            "commands": list(token.commands),
            "until": _moment(token.until),
            "state": "disabled" if off else "expired" if token.until < time.time() else "",
        }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")
