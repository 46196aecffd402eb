"""Reads and writes Siemens S7 controllers by PUT/GET."""

from .driver import S7

__all__ = ["S7"]
