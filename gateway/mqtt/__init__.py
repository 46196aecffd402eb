"""One session with one MQTT broker, over paho. The only part of the gateway that knows paho."""

from gateway.mqtt.options import MqttOptions, TlsOptions, Will
from gateway.mqtt.packets import Outgoing
from gateway.mqtt.session import MqttSession
from gateway.mqtt.words import NOT_AUTHORISED, is_final

__all__ = ["NOT_AUTHORISED", "MqttOptions", "MqttSession", "Outgoing", "TlsOptions", "Will", "is_final"]
