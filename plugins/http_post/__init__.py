"""Posts to an HTTP server: batches of JSON messages, each under a key by which the server knows repeats."""

from .sink import HttpPostSink

__all__ = ["HttpPostSink"]
