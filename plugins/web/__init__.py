"""The gateway in a browser, for scripts, and for Prometheus: one small HTTP server beside the road."""

from .service import Web

__all__ = ["Web"]
