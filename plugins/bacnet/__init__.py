"""Reads and writes building systems by BACnet/IP: air handling, clean rooms, pressure cascades."""

from .driver import Bacnet

__all__ = ["Bacnet"]
