"""Reads and writes Mitsubishi PLCs by the MC protocol (SLMP)."""

from .driver import Melsec

__all__ = ["Melsec"]
