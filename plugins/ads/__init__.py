"""Reads and writes Beckhoff TwinCAT controllers by ADS: symbols by name, arrays and structures, polled or on change."""

from .driver import Ads

__all__ = ["Ads"]
