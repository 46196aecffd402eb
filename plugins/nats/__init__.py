"""Publishes to a NATS JetStream: one JSON message per record, under an id by which the server drops repeats."""

from .sink import NatsSink

__all__ = ["NatsSink"]
