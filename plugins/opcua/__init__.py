"""Subscribes to tags of OPC UA servers."""

from .driver import OpcUa

__all__ = ["OpcUa"]
