"""Made-up values, to try the gateway without a device."""

from .driver import Simulated

__all__ = ["Simulated"]
