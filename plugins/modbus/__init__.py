"""Reads PLCs and instruments over Modbus TCP."""

from .driver import Modbus

__all__ = ["Modbus"]
