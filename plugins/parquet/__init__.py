"""A lake of Parquet files, in a folder or an object store: each reading once, sealed, with a manifest of what is there."""

from .sink import ParquetSink

__all__ = ["ParquetSink"]
