"""Drivers in processes of their own: what blocks, crashes or takes memory there costs its own devices alone."""

from gateway.isolation.driver import Isolated, isolated, placed, refusal
from gateway.isolation.process import Process, Starts

__all__ = ["Isolated", "Process", "Starts", "isolated", "placed", "refusal"]
