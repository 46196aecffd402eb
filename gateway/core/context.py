"""Where and for what a reading was taken: ISA-95 place and ISA-88 production context."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Context:
    """The plant's words for a device's place and its present work; an empty string means "not said"."""

    enterprise: str = ""
    site: str = ""
    area: str = ""
    line: str = ""
    order: str = ""
    batch: str = ""
    phase: str = ""

    def said(self) -> dict[str, str]:
        """The parts that are not empty, in the order of the standard."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}
