"""What who keeps the gateway looks at, one matter at a time: models, dead letters, configuration, audit trail, certificates,
and what else runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.plugin import format_duration

from ..html import Html, joined, table, tag
from ..screen import View, moment, part_state
from ..words import Words

MATTERS = ("models", "dead letters", "configuration", "audit trail", "certificates", "plugins")
"""In the order of the links."""
FORMS: Mapping[str, tuple[str, ...]] = {
    "model_approve": ("model", "reason"),
    "model_rollback": ("model", "reason"),
    "model_retire": ("model", "reason"),
    "dead_retry": ("ids",),
    "dead_drop": ("ids",),
    "reload": (),
    "trust_accept": ("thumbprint", "folder", "reason"),
    "trust_revoke": ("thumbprint", "folder", "reason"),
}
"""Commands that a form here may ask for, with its fields."""
_OWN = ("n", "ts", "tz", "prev", "hash", "action", "who")

Told = Mapping[str, Any]


def upkeep_page(view: View, matter: str, said: Html) -> Html:
    """A matter with the links to the others."""
    word = view.words
    links = (
        tag("a", word(name), href=address(name), aria_current="page" if name == matter else None) for name in MATTERS
    )
    return joined((tag("nav", *links, class_="ways", aria_label=word("system")), tag("h2", word(matter)), said))


def address(matter: str) -> str:
    """Of a matter's page."""
    return f"/system?show={matter.replace(' ', '+')}"


def form_for(view: View, command: str, label: str, hidden: Mapping[str, str], *, why: bool = False) -> Html | None:
    """A button for who may; nobody else sees it."""
    session = view.session
    if session is None or command not in view.may:
        return None
    fields = (tag("input", type="hidden", name=name, value=value) for name, value in hidden.items())
    reason = tag("input", name="reason", maxlength=300, required=True)
    return tag(
        "form", tag("input", type="hidden", name="form", value=session.form), *fields,
        tag("label", view.words("reason"), reason, class_="grow") if why else None, tag("button", label),
        method="post", action=f"/do/{command}", class_="act",
    )  # fmt: skip


def dead_letters(view: View, told: Sequence[Told]) -> Html:
    """What was refused for good, with what can be done with it."""
    word = view.words
    if not told:
        return tag("p", word("no dead letters"), class_="quiet")
    heads = (word("time"), word("destination"), word("device"), word("readings"), word("reason"), word("to do"))
    rows = (
        (
            tag("th", moment(each["died"]) if each["died"] else "?", scope="row"),
            each["sink"],
            each["about"],
            tag("td", f"{each['readings']:,}", class_="number"),
            tag("td", each["reason"], class_="text"),
            tag("td", *_letter_forms(view, each["id"])) if each["id"] else "",
        )
        for each in told[:500]
    )
    return table(heads, rows, word("dead letters"), stacked="rows")


def _letter_forms(view: View, letter: str) -> Iterator[Html | None]:
    word = view.words
    yield form_for(view, "dead_retry", word("send again"), {"ids": letter})
    yield form_for(view, "dead_drop", word("drop"), {"ids": letter})


def configuration(view: View, plan: Told | None) -> Html:
    """The file, its mistakes, and what a reload would change."""
    word, config = view.words, view.status["config"]
    rows = (
        *(
            tag("tr", tag("th", word("file"), scope="row"), tag("td", path))
            for path in (config["path"], *config.get("files", ()))
        ),
        *(tag("tr", tag("th", word("disabled"), scope="row"), tag("td", name)) for name in config.get("disabled", ())),
        tag("tr", tag("th", word("loaded"), scope="row"), tag("td", moment(config["loaded"]), f" · {config['hash']}")),
        tag("tr", tag("th", word("its clock of"), scope="row"), tag("td", _clock(word, view.status))),
    )
    said = [tag("table", tag("tbody", *rows), class_="facts", aria_label=word("configuration"))]
    if plan is None:
        return joined([*said, tag("p", word("log in for plan"), class_="quiet")])
    if plan["problems"]:
        said += [tag("h3", word("mistakes")), _listed(plan["problems"], "severe")]
    elif plan["changes"]:
        said += [tag("h3", word("would change")), _listed(plan["changes"], "quiet")]
        said += [form] if (form := form_for(view, "reload", word("apply"), {})) else []
    else:
        said.append(tag("p", word("no change"), class_="well"))
    return joined(said)


def _clock(word: Words, status: Told) -> str:
    clock = status["clock"]
    return f"{clock['state']}, {word('set times', clock['epoch'])}"


def _listed(texts: Sequence[str], kind: str) -> Html:
    return tag("ul", *(tag("li", tag("p", text), class_=kind) for text in texts))


def applied(view: View, answer: Told) -> Html:
    """What came of a reload."""
    word = view.words
    if answer["applied"]:
        said = _listed(answer["changes"], "well") if answer["changes"] else tag("p", word("no change"))
        return joined((tag("p", word("is applied"), class_="well"), said))
    return joined((tag("p", word("not applied"), class_="severe"), _listed(answer["problems"], "severe")))


def audit_trail(view: View, told: Told | None) -> Html:
    """Its state first, then what was done last, the newest at the top."""
    word = view.words
    if told is None:
        return tag("p", word("log in for audit"), class_="quiet")
    here, count = address("audit trail"), f"{told['records']:,}"
    match told["state"]:
        case "sound":
            state = tag("p", "✓ ", word("trail sound", count), class_="well")
        case "verifying":
            state = tag(
                "p", word("trail verifying", count), " ", tag("a", word("look again"), href=here), class_="warn"
            )
        case _:
            state = tag("p", "✗ ", word("trail damaged"), f" {told['problem']}", class_="severe")
    anew = tag("p", tag("a", word("verify anew"), href=f"{here}&anew=1"), class_="quiet")
    heads = (word("number"), word("time"), word("who"), word("what"), word("remark"))
    rows = (_record(word, record) for record in reversed(told["tail"]))
    known = _listed(told["acknowledged"], "quiet") if told["acknowledged"] else None
    return joined(
        (
            state,
            anew,
            tag("p", "SHA-256 ", tag("code", told["hash"])),
            known,
            table(heads, rows, word("audit trail"), stacked="rows"),
        )
    )


def _record(word: Words, record: Told) -> tuple[object, ...]:
    if "broken" in record:
        return "?", "", "", tag("td", record["broken"], class_="severe text"), ""
    more = ", ".join(f"{name}: {value}" for name, value in record.items() if name not in _OWN)
    return (
        tag("th", record.get("n", ""), scope="row"),
        tag("td", tag("time", record.get("ts", ""), datetime=record.get("ts", ""))),
        record.get("who", ""),
        record.get("action", ""),
        tag("td", more[:300], class_="text"),
    )


def certificates(view: View, told: Sequence[Told]) -> Html:
    """Those that end soon first."""
    word = view.words
    if not told:
        return tag("p", word("no certificates"), class_="quiet")
    heads = (word("state"), word("whose"), word("until"), "SHA-256", "")
    rows = (
        (
            tag("th", word.state(each["state"]), scope="row"),
            tag("td", each["subject"], class_="text"),
            tag("td", moment(each["until"]), f" · {word('days', each['days_left'])}", class_=_soon(each["days_left"])),
            tag("td", tag("code", each["thumbprint"]), class_="text"),
            tag("td", _decision(view, each)),
        )
        for each in told
    )
    return joined((tag("p", word("compare first"), class_="quiet"), table(heads, rows, word("certificates"))))


def _decision(view: View, certificate: Told) -> Html | None:
    """What may be done with it by who may; the gateway's own is not for deciding."""
    word = view.words
    hidden = {"thumbprint": certificate["thumbprint"], "folder": certificate["folder"]}
    if certificate["state"] == "rejected":
        return form_for(view, "trust_accept", word("trust"), hidden, why=True)
    if certificate["state"] == "trusted":
        return form_for(view, "trust_revoke", word("trust no longer"), hidden, why=True)
    return None


def _soon(days: int) -> str | None:
    return "severe" if days < 0 else "warn" if days < 30 else None


def plugins(view: View) -> Html:
    """What runs by which plugin, and how it is."""
    word, status = view.words, view.status
    parts = [
        *((word("device"), each, each["driver"]) for each in status["devices"]),
        *((word("destination"), each, each["plugin"]) for each in status["sinks"]),
        *((word("service"), each, each["plugin"]) for each in status["services"]),
        *((word("alarm"), each, each["plugin"]) for each in status["watches"]),
    ]
    heads = (word("plugin"), word("kind"), word("name"), word("state"), word("since"), word("reason"))
    rows = (
        (
            tag("th", plugin, scope="row"),
            kind,
            part["name"],
            part_state(word, part),
            format_duration(part["since_s"]) if part.get("since_s") is not None else "",
            tag("td", part["reason"], class_="text"),
        )
        for kind, part, plugin in sorted(parts, key=lambda each: each[2])
    )
    parked = [tag("h3", word("left out")), _listed(status["parked"], "severe")] if status["parked"] else []
    return joined((table(heads, rows, word("plugins"), stacked="rows"), *parked))
