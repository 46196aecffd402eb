"""Reads and writes Beckhoff TwinCAT controllers by ADS: symbols by name, arrays and structures."""

from .driver import Ads

__all__ = ["Ads"]
