"""The MQTT session for sinks and drivers that speak it."""

from gateway.mqtt import MqttOptions, MqttSession, Outgoing, TlsOptions, Will, is_final

__all__ = ["MqttOptions", "MqttSession", "Outgoing", "TlsOptions", "Will", "is_final"]
