"""Drivers in processes of their own: what blocks, crashes or takes memory there costs its own devices alone."""

from gateway.isolation.driver_process import Process, Starts
from gateway.isolation.isolated_driver import Isolated, isolated, placed, refusal

__all__ = ["Isolated", "Process", "Starts", "isolated", "placed", "refusal"]
