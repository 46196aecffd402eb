"""Reads and writes Siemens S7 controllers: by addresses (PUT/GET), or by symbols, optimized blocks too (S7CommPlus)."""

from .driver import S7

__all__ = ["S7"]
