"""Publishes to an MQTT broker: one JSON message per record, with descriptions and states retained."""

from .sink import MqttSink

__all__ = ["MqttSink"]
