"""A model of the configuration, while the gateway runs."""

from dataclasses import dataclass, field
from typing import Any

from gateway.config.model import ModelSection
from gateway.detect.shadow import Shadow
from gateway.detect.watch import Watch


@dataclass(slots=True)
class Model:
    """A configured model: being loaded, watching, or failed."""

    section: ModelSection
    name: str
    devices: tuple[str, ...]
    watch: Watch | None = None
    failure: str = ""
    identity: dict[str, Any] = field(default_factory=dict)
    """What its events carry once the file has been read."""
    shadow: Shadow | None = None
    """The next version, if there is one."""

    @property
    def sha256(self) -> str:
        """Of the active version; empty if none runs."""
        return self.watch.source.sha256 if self.watch else ""
