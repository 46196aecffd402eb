"""The MQTT session for sinks and drivers that speak it."""

from gateway.mqtt import NOT_AUTHORISED, MqttOptions, MqttSession, Outgoing, TlsOptions, Will, is_final

__all__ = ["NOT_AUTHORISED", "MqttOptions", "MqttSession", "Outgoing", "TlsOptions", "Will", "is_final"]
