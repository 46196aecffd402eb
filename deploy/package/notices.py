"""What is inside: licence texts, and a bill of materials that says what is installed, no more and no less."""

import datetime
import email
import hashlib
import json
import uuid
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from urllib.parse import quote

LICENCES = ("LICEN", "COPYING", "NOTICE", "AUTHORS", "ThirdParty")
"""How the names of such files begin; NOTICE and AUTHORS too, since Apache-2.0 and BSD want them passed on."""


@dataclass(frozen=True, slots=True)
class Part:
    """One Python package that is inside."""

    name: str
    version: str
    licence: str
    home: str
    info: Path
    """Its .dist-info folder."""


def installed(site: Path) -> list[Part]:
    """The Python packages in a folder, in the order of their names."""
    return sorted((_part(info) for info in site.glob("*.dist-info")), key=lambda part: part.name)


def _part(info: Path) -> Part:
    told = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
    return Part(normal(told["Name"]), told["Version"], _licence(told), _home(told), info)


def normal(name: str) -> str:
    """A name as package indexes compare it (PEP 503)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _licence(told: Message) -> str:
    stated = told["License-Expression"] or (told["License"] or "").strip().split("\n")[0]
    classified = [each.split(" :: ")[-1] for each in told.get_all("Classifier", []) if each.startswith("License ::")]
    return stated or ", ".join(classified) or "see its licence text"


def _home(told: Message) -> str:
    links = {
        each.split(",")[0].strip().lower(): each.split(",", 1)[1].strip() for each in told.get_all("Project-URL", [])
    }
    named = (links.get(name) for name in ("homepage", "source", "repository", "source code", "documentation"))
    return told["Home-page"] or next((each for each in named if each), "")


def write_copyright(path: Path, site: Path, parts: list[Part], own: Path) -> None:
    """The licence of the gateway, and those of all that is inside, one after the other."""
    said = ["Edge gateway: Apache-2.0. The text stands first; those of the packages inside follow.\n", own.read_text()]
    for part in parts:
        if part.name == "edge-gateway":
            continue
        texts = sorted({each for each in [*part.info.rglob("*"), *_beside(site, part)] if _is_licence(each)})
        said.append(f"{'=' * 100}\n{part.name} {part.version}: {part.licence}. {part.home}\n{'=' * 100}\n")
        said += [each.read_text(encoding="utf-8", errors="replace") for each in texts]
    path.write_text("\n".join(said), encoding="utf-8")


def _beside(site: Path, part: Part) -> list[Path]:
    """Some packages have their licence among their code."""
    folder = site / part.name.replace("-", "_")
    return list(folder.glob("*")) if folder.is_dir() else []


def _is_licence(path: Path) -> bool:
    named_so = path.name.startswith(LICENCES) or "licenses" in path.parts
    return path.is_file() and named_so and path.suffix not in (".py", ".pyc")


def write_sbom(path: Path, parts: list[Part], target: str, dated: int) -> None:
    """The bill of materials, as CycloneDX 1.6 in JSON."""
    (own,) = (part for part in parts if part.name == "edge-gateway")
    names = {part.name for part in parts}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(dated, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**_component(own), "type": "application", "properties": [{"name": "for", "value": target}]},
        },
        "components": [_component(part) for part in parts if part is not own],
        "dependencies": [
            {
                "ref": _purl(part),
                "dependsOn": sorted(_purl(each) for each in parts if each.name in _needs(part) & names),
            }
            for part in parts
        ],
    }
    content = json.dumps(bill, sort_keys=True)
    digest = hashlib.sha256(content.encode()).digest()
    bill["serialNumber"] = uuid.UUID(bytes=digest[:16], version=4).urn  # the same for the same content
    path.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")


def _needs(part: Part) -> set[str]:
    told = email.message_from_string((part.info / "METADATA").read_text(encoding="utf-8"))
    wanted = [
        each for each in told.get_all("Requires-Dist", []) if "extra ==" not in each or part.name == "edge-gateway"
    ]
    return {normal(_name(each)) for each in wanted}


def _name(requirement: str) -> str:
    end = next((at for at, char in enumerate(requirement) if not (char.isalnum() or char in "-_.")), len(requirement))
    return requirement[:end]


def _component(part: Part) -> dict[str, object]:
    found: dict[str, object] = {
        "type": "library", "bom-ref": _purl(part), "name": part.name, "version": part.version, "purl": _purl(part),
        "licenses": [{"license": {"name": part.licence}}],
    }  # fmt: skip
    return {**found, "externalReferences": [{"type": "website", "url": part.home}]} if part.home else found


def _purl(part: Part) -> str:
    return f"pkg:pypi/{part.name}@{quote(part.version)}"
