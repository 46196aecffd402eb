"""A lake of Delta tables, in a folder or an object store: each reading once, by the table's own transactions."""

from .sink import DeltaSink

__all__ = ["DeltaSink"]
