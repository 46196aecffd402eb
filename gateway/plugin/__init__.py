"""The public face for plugin authors. A plugin imports from here and from its protocol library, nothing else."""

from pydantic import ValidationInfo, field_validator, model_validator

from gateway.config.base import (
    DeviceConfig,
    RangeSinkConfig,
    Secret,
    Section,
    ServiceConfig,
    SinkConfig,
    TagConfig,
    ValueType,
    WatchConfig,
)
from gateway.config.fields import (
    Address,
    Deadband,
    Duration,
    Field,
    FilePath,
    Host,
    Period,
    Size,
    TopicTemplate,
    host_and_port,
)
from gateway.config.outbound import Outbound
from gateway.config.payload import OWN, JsonForm, Payload, check_readings_topic, template_of, unsaid
from gateway.config.request_options import RequestOptions
from gateway.config.secrets import resolve
from gateway.config.tls import Tls
from gateway.core import arguments, quality
from gateway.core.amounts import format_duration, format_size
from gateway.core.arguments import Argument
from gateway.core.command import VIEWER, Actor, Declared
from gateway.core.context import Context
from gateway.core.device_event import DEVICE, DEVICE_AUDIT, Condition, DeviceEvent, Retained, Told
from gateway.core.errors import (
    DeviceError,
    ForbiddenError,
    ForeseenError,
    GatewayError,
    LinkError,
    RefusedError,
    RequestError,
    UnreachableError,
)
from gateway.core.names import seen_by, sees_names, without_names
from gateway.core.parsing import doubting, parse_json
from gateway.core.plain import plain, to_json
from gateway.core.readings import Exact, Readings
from gateway.core.record import Kind, Lane, Record
from gateway.core.tag import Device, Tag, Tags
from gateway.core.text import cleaned, encodable, for_spreadsheet, listed
from gateway.core.topic import check_template, device_topic, own_topic
from gateway.dial import load_certificates
from gateway.places.durable import write_whole
from gateway.places.regular import read_regular
from gateway.plugin.driver import Driver, Found, Values
from gateway.plugin.finding import Discovered, Finding, Search
from gateway.plugin.guessing import Guess, Guessing
from gateway.plugin.hosts import Encoder, LineHost, Message, ServiceHost, SinkHost, WatchHost
from gateway.plugin.mounts import ACTOR, App, Mounted
from gateway.plugin.people import LoginError, People, Session, Vouched
from gateway.plugin.range_sink import Batch, RangeSink
from gateway.plugin.service import Service
from gateway.plugin.sink import Sink
from gateway.plugin.watch import Watch
from gateway.status import GatewayStatus, full_in
from gateway.supervise.contained import contained

__all__ = [
    "ACTOR",
    "DEVICE",
    "DEVICE_AUDIT",
    "OWN",
    "VIEWER",
    "Actor",
    "Address",
    "App",
    "Argument",
    "Batch",
    "Condition",
    "Context",
    "Deadband",
    "Declared",
    "Device",
    "DeviceConfig",
    "DeviceError",
    "DeviceEvent",
    "Discovered",
    "Driver",
    "Duration",
    "Encoder",
    "Exact",
    "Field",
    "FilePath",
    "Finding",
    "ForbiddenError",
    "ForeseenError",
    "Found",
    "GatewayError",
    "GatewayStatus",
    "Guess",
    "Guessing",
    "Host",
    "JsonForm",
    "Kind",
    "Lane",
    "LineHost",
    "LinkError",
    "LoginError",
    "Message",
    "Mounted",
    "Outbound",
    "Payload",
    "People",
    "Period",
    "RangeSink",
    "RangeSinkConfig",
    "Readings",
    "Record",
    "RefusedError",
    "RequestError",
    "RequestOptions",
    "Retained",
    "Search",
    "Secret",
    "Section",
    "Service",
    "ServiceConfig",
    "ServiceHost",
    "Session",
    "Sink",
    "SinkConfig",
    "SinkHost",
    "Size",
    "Tag",
    "TagConfig",
    "Tags",
    "Tls",
    "Told",
    "TopicTemplate",
    "UnreachableError",
    "ValidationInfo",
    "ValueType",
    "Values",
    "Vouched",
    "Watch",
    "WatchConfig",
    "WatchHost",
    "arguments",
    "check_readings_topic",
    "check_template",
    "cleaned",
    "contained",
    "device_topic",
    "doubting",
    "encodable",
    "field_validator",
    "for_spreadsheet",
    "format_duration",
    "format_size",
    "full_in",
    "host_and_port",
    "listed",
    "load_certificates",
    "model_validator",
    "own_topic",
    "parse_json",
    "plain",
    "quality",
    "read_regular",
    "resolve",
    "seen_by",
    "sees_names",
    "template_of",
    "to_json",
    "unsaid",
    "without_names",
    "write_whole",
]
