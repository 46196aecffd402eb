"""What a package holds beside the program: units, documentation, a page of the manual, completions, the schema."""

import argparse
import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pages

from gateway import __version__
from gateway.cli.config.command_reference import commands, own_options, spelling
from gateway.cli.frame import COMMANDS, EPILOG, command_line
from gateway.config.schema import schema
from gateway.plugin.discovery import Plugins

UNITS = {
    "edge-gateway.service": "usr/lib/systemd/system/edge-gateway.service",
    "edge-gateway-failed@.service": "usr/lib/systemd/system/edge-gateway-failed@.service",
    "edge-gateway-restore.service": "usr/lib/systemd/system/edge-gateway-restore.service",
    "sysusers.conf": "usr/lib/sysusers.d/edge-gateway.conf",
    "tmpfiles.conf": "usr/lib/tmpfiles.d/edge-gateway.conf",
    "edge-gateway.catalog": "usr/lib/systemd/catalog/edge-gateway.catalog",
}


def write(root: Path, checkout: Path) -> None:
    """Write them below `root`."""
    for name, place in UNITS.items():
        copied(checkout / "deploy/systemd" / name, root / place)
    share = root / "usr/share/edge-gateway"
    for dropin in sorted((checkout / "deploy/systemd/dropins").iterdir()):
        copied(dropin, share / "dropins" / dropin.name)
    for other in ("prometheus/edge-gateway.rules.yml", "grafana/edge-gateway.json"):
        copied(checkout / "deploy" / other, share / other)
    copied(checkout / "config.example.toml", share / "config.example.toml")
    written(share / "edge-gateway.schema.json", json.dumps(schema(Plugins()), indent=1) + "\n")
    documentation(root / "usr/share/doc/edge-gateway", checkout)
    page = root / "usr/share/man/man1/edge-gateway.1.gz"
    page.parent.mkdir(parents=True)
    page.write_bytes(gzip.compress("\n".join(manual()).encode(), mtime=0))
    written(root / "usr/share/bash-completion/completions/edge-gateway", bash())
    written(root / "usr/share/zsh/vendor-completions/_edge-gateway", zsh())
    written(root / "usr/share/fish/vendor_completions.d/edge-gateway.fish", fish())


def move_completions(root: Path) -> None:
    """To where zsh looks on the distributions of Red Hat."""
    share = root / "usr/share/zsh"
    (share / "site-functions").mkdir()
    (share / "vendor-completions/_edge-gateway").rename(share / "site-functions/_edge-gateway")
    (share / "vendor-completions").rmdir()


def documentation(doc: Path, checkout: Path) -> None:
    """README, docs and the pages of the drivers, in the same places to each other as in the checkout: links stay true."""
    for name in ("README.md", "CHANGELOG.md", "SECURITY.md"):
        copied(checkout / name, doc / name)
    for page in sorted((checkout / "docs").rglob("*.md")):
        copied(page, doc / page.relative_to(checkout))
    for page in sorted((checkout / "plugins").glob("*/README.md")):
        copied(page, doc / page.relative_to(checkout))
    pages.build(doc / "html", checkout)


def copied(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    place.chmod(0o644)


def written(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    place.chmod(0o644)


def manual() -> Iterator[str]:
    """The page of the manual, as man(7) has it."""
    yield f'.TH EDGE-GATEWAY 1 "" "edge-gateway {__version__}" "User Commands"'
    yield ".SH NAME\nedge-gateway \\- edge gateway for plant-floor devices"
    yield ".SH SYNOPSIS\n.B edge-gateway\n.I COMMAND\n.RI [ OPTIONS ]"
    yield ".SH COMMANDS"
    for name, text in COMMANDS.items():
        yield f".TP\n.B {name}\n{_roff(text)}"
    yield ".SH OPTIONS OF EVERY COMMAND"
    for action in command_line()._actions:
        if not isinstance(action, argparse._SubParsersAction):
            yield f".TP\n.B {_roff(spelling(action))}\n{_roff(action.help or '')}"
    for name, parser in commands().items():
        if own := [each for each in own_options(parser) if each.help != argparse.SUPPRESS]:
            yield f'.SH "{name.upper()}"'
            yield from (f".TP\n.B {_roff(spelling(each))}\n{_roff(each.help or '')}" for each in own)
    yield ".SH EXIT STATUS"
    yield _roff(EPILOG.split("\n")[0].removeprefix("exit codes: ")) + "."
    yield ".SH FILES"
    for path, what in FILES.items():
        yield f".TP\n.I {path}\n{what}"
    yield ".SH SEE ALSO\n.BR systemctl (1),\n.BR journalctl (1)\n"


FILES = {
    "/etc/edge-gateway/config.toml": "the configuration",
    "/etc/edge-gateway/credentials/": "passwords and keys, one file each",
    "/etc/edge-gateway/credentials.encrypted/": "the same, encrypted for this machine by systemd-creds(1)",
    "/var/lib/edge-gateway/": "the log, the audit trail, certificates",
    "/usr/share/edge-gateway/": "an example of a configuration with every option, its JSON Schema, drop-ins for the unit",
    "/usr/share/doc/edge-gateway/": "the documentation; licences; what is inside (sbom.cdx.json)",
}


def _roff(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("\n", " ")
    return f"\\&{text}" if text[:1] in (".", "'") else text


def words() -> dict[str, list[str]]:
    """What may follow each command, and each of its verbs: verbs and options."""
    every = [string for action in command_line()._actions for string in action.option_strings]
    found: dict[str, list[str]] = {}
    for name, parser in commands().items():
        verbs = [each.removeprefix(f"{name} ") for each in commands() if each.rpartition(" ")[0] == name]
        options = [string for action in parser._actions for string in action.option_strings]
        found[name] = sorted({*verbs, *options, *every})
    return found


def bash() -> str:
    """Completions for bash; files where a word may be one."""
    cases = "\n".join(f'        "{name}") words="{" ".join(each)}" ;;' for name, each in words().items())
    return f"""\
# bash completion for edge-gateway, generated from the commands' declarations
_edge_gateway() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} at line= words=
    for ((at = 1; at < COMP_CWORD; at++)); do
        [[ ${{COMP_WORDS[at]}} == -* ]] || line="$line${{line:+ }}${{COMP_WORDS[at]}}"
    done
    while :; do
        case "$line" in
        "") words="{" ".join(COMMANDS)}" ;;
{cases}
        esac
        [[ -n $words || $line != *" "* ]] && break
        line=${{line% *}}
    done
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    [[ $word == -* ]] || COMPREPLY+=($(compgen -f -- "$word"))
}}
complete -o filenames -F _edge_gateway edge-gateway
"""


def zsh() -> str:
    """Completions for zsh."""
    told = "\n".join(f"    {_quoted(name + ':' + text)}" for name, text in COMMANDS.items())
    cases = "\n".join(f'    "{name}") following=({" ".join(each)}) ;;' for name, each in words().items())
    return f"""\
#compdef edge-gateway
# generated from the commands' declarations
local -a all following
local line
all=(
{told}
)
if (( CURRENT == 2 )); then
    _describe command all
    return
fi
line="${{(j: :)${{(@)words[2,CURRENT-1]:#-*}}}}"
following=()
while :; do
    case "$line" in
{cases}
    esac
    [[ $#following -gt 0 || $line != *" "* ]] && break
    line=${{line% *}}
done
compadd -a following
_files
"""


def fish() -> str:
    """Completions for fish."""
    lines = ["# fish completion for edge-gateway, generated from the commands' declarations"]
    lines += [
        f"complete -c edge-gateway -n __fish_use_subcommand -a {name} -d {_quoted(text)}"
        for name, text in COMMANDS.items()
    ]
    for name, each in words().items():
        seen = " ".join(f"; and __fish_seen_subcommand_from {word}" for word in name.split()).removeprefix("; and ")
        verbs = [word for word in each if not word.startswith("-")]
        lines += [f"complete -c edge-gateway -n {_quoted(seen)} -a {_quoted(' '.join(verbs))}"] if verbs else []
        lines += [
            f"complete -c edge-gateway -n {_quoted(seen)} {'-l ' if word.startswith('--') else '-s '}{word.lstrip('-')}"
            for word in each
            if word.startswith("-")
        ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "’") + "'"
