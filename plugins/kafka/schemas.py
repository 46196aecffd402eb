"""Which id the schema has for each topic: asked of the registry once, and kept as long as the gateway runs."""

from collections.abc import Sequence
from typing import Any

from gateway.kit import Route
from gateway.plugin import LinkError

from .config import RegistryConfig
from .producer import Entry
from .registry import SchemaRegistry, UnknownSchemaError
from .values import FORMS


class Schemas:
    """Of one session."""

    def __init__(self, config: RegistryConfig, memory: dict[str, Any], way: Route) -> None:
        self._config = config
        self._form = FORMS[config.format]
        self._registry = SchemaRegistry(config, self._form, way)
        known = memory.setdefault("schemas", {})
        self._ids: dict[str, int] = known.setdefault((config.url, config.format), {})

    async def trouble_with(self, topic: str) -> str:
        """Why values of this topic cannot be written now; empty where they can."""
        if topic not in self._ids:
            try:
                self._ids[topic] = await self._registry.id_of(topic, register=not self._config.must_exist)
            except LinkError as error:
                return str(error)
        return ""

    def sign(self, topic: str, entries: Sequence[Entry]) -> None:
        """Put before the values which schema they have (Confluent's wire format)."""
        head = b"\0" + self._ids[topic].to_bytes(4, "big") + self._form.prefix
        for entry in entries:
            entry.value = head + entry.value

    async def found(self, topic: str) -> str:
        """For a check, which registers nothing. Raises LinkError, RefusedError."""
        try:
            return f"schema {await self._registry.id_of(topic, register=False)} for {topic}"
        except UnknownSchemaError:
            if self._config.must_exist:
                raise
            return f"the schema for {topic} will be registered"
