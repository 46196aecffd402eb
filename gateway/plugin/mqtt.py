"""The MQTT session for sinks and drivers that speak it."""

from gateway.dial import route, tls_options
from gateway.mqtt import (
    NOT_AUTHORISED,
    TOO_LARGE,
    TOPIC_INVALID,
    BarrierTrial,
    CutOffError,
    MqttOptions,
    MqttSession,
    Outgoing,
    Received,
    TlsOptions,
    Will,
    cut_off_again,
    is_final,
)

__all__ = [
    "NOT_AUTHORISED",
    "TOO_LARGE",
    "TOPIC_INVALID",
    "BarrierTrial",
    "CutOffError",
    "MqttOptions",
    "MqttSession",
    "Outgoing",
    "Received",
    "TlsOptions",
    "Will",
    "cut_off_again",
    "is_final",
    "route",
    "tls_options",
]
