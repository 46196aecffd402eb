"""Scales, readers, printers and other machines that talk in telegrams, which the configuration declares."""

from .driver import TcpTelegrams

__all__ = ["TcpTelegrams"]
