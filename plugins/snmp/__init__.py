"""Reads switches, UPS, printers and power strips by SNMP: single values and rows of tables, v2c and v3."""

from .driver import Snmp

__all__ = ["Snmp"]
