"""Subscribes to what OPC UA servers have, reads and writes it, and takes their alarms."""

from .driver import OpcUa

__all__ = ["OpcUa"]
