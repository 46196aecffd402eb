"""Reads and writes LS Electric PLCs by the dedicated protocol of their FEnet modules."""

from .driver import Xgt

__all__ = ["Xgt"]
