"""Writes to Apache Kafka, and what speaks its protocol: one Kafka record per message, keyed by device."""

from .sink import KafkaSink

__all__ = ["KafkaSink"]
