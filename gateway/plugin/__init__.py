"""The public face for plugin authors. A plugin imports from here and from its protocol library, nothing else."""

from pydantic import field_validator, model_validator

from gateway.config.base import DeviceConfig, Secret, Section, SinkConfig, TagConfig, ValueType
from gateway.config.fields import Deadband, Duration, Field, FilePath, Size, TopicTemplate
from gateway.config.secrets import resolve
from gateway.core import quality
from gateway.core.errors import DeviceError, LinkError, RefusedError
from gateway.core.readings import Exact, Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.plugin.driver import Driver, Found, Values
from gateway.plugin.sink import Encoder, Message, Sink, SinkHost

__all__ = [
    "Deadband",
    "Device",
    "DeviceConfig",
    "DeviceError",
    "Driver",
    "Duration",
    "Encoder",
    "Exact",
    "Field",
    "FilePath",
    "Found",
    "Kind",
    "Lane",
    "LinkError",
    "Message",
    "Readings",
    "Record",
    "RefusedError",
    "Secret",
    "Section",
    "Sink",
    "SinkConfig",
    "SinkHost",
    "Size",
    "Tag",
    "TagConfig",
    "Tags",
    "TopicTemplate",
    "ValueType",
    "Values",
    "field_validator",
    "model_validator",
    "quality",
    "resolve",
]
