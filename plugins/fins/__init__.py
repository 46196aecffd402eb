"""Reads and writes Omron PLCs by FINS, over UDP and TCP."""

from .driver import Fins

__all__ = ["Fins"]
