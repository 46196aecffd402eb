"""Reads and writes PLCs and instruments by Modbus: over TCP, TLS and UDP, and on serial lines."""

from .driver import Modbus

__all__ = ["Modbus"]
