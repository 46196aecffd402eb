"""Where a reading was taken, and what for: ISA-95 place, and ISA-88 / ISA-95 production context.

The place is a part of what a device *is*, and of its definition. The work is what it does that *for* at the moment: it
changes with each batch and phase, and leaves tags, ids and conditioning alone.
"""

from dataclasses import dataclass, fields, replace

PLACE = ("enterprise", "site", "area", "line")
WORK = ("order", "batch", "unit_procedure", "operation", "phase", "product", "equipment_state")
"""In the words of ISA-95 (order, product, equipment state) and ISA-88 (batch or lot, and the levels of its procedure)."""


@dataclass(frozen=True, slots=True)
class Context:
    """The plant's words for a device's place and its present work; an empty string means "not said"."""

    enterprise: str = ""
    site: str = ""
    area: str = ""
    line: str = ""
    order: str = ""
    batch: str = ""
    unit_procedure: str = ""
    operation: str = ""
    phase: str = ""
    product: str = ""
    equipment_state: str = ""
    unknown: str = ""
    """Why nobody knows any more what the device worked for; empty where it is known."""

    by: tuple[tuple[str, str], ...] = ()
    """Which rule or person has said each part of the work: pairs of a name in WORK and theirs. Not told in messages."""

    def said(self) -> dict[str, str]:
        """The parts that are not empty, in the order of the standard."""
        return {name: value for name in SAID if (value := getattr(self, name))}

    @property
    def works(self) -> bool:
        """Whether anything is said of the work."""
        return any(getattr(self, name) for name in _OF_WORK)

    @property
    def place(self) -> "Context":
        """The same place, without work."""
        return Context(self.enterprise, self.site, self.area, self.line)

    def at(self, work: "Context") -> "Context":
        """This place, with that work."""
        return replace(work, enterprise=self.enterprise, site=self.site, area=self.area, line=self.line)


SAID = tuple(field.name for field in fields(Context) if field.name != "by")
"""The names of what `Context.said` gives, all of them texts."""
_OF_WORK = (*WORK, "unknown")
