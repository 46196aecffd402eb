"""One session with one MQTT broker, over paho. The only part of the gateway that knows paho."""

from gateway.dial import TlsOptions
from gateway.mqtt.barrier_trial import BarrierTrial
from gateway.mqtt.broker_options import MqttOptions, Will
from gateway.mqtt.broker_session import MqttSession
from gateway.mqtt.packets import Outgoing, Received
from gateway.mqtt.words import NOT_AUTHORISED, TOO_LARGE, TOPIC_INVALID, CutOffError, cut_off_again, is_final

__all__ = [
    "NOT_AUTHORISED", "TOO_LARGE", "TOPIC_INVALID", "BarrierTrial", "CutOffError", "MqttOptions", "MqttSession",
    "Outgoing", "Received", "TlsOptions", "Will", "cut_off_again", "is_final",
]  # fmt: skip
