"""What the configuration says of a lake of Parquet files. Imports no library of it, so that checking is fast."""

from typing import Literal

from gateway.kit.lake_place import LakeConfig
from gateway.plugin import Field

FEW_DEVICES = 16
"""Up to so many devices have folders of their own."""
GROUPS = 16
"""Folders that more devices share, by a hash of their names."""

Partition = Literal["device", "group", "date"]


class ParquetConfig(LakeConfig):
    partition: Partition | None = None
    """How files are parted beside the day: a folder for each device, for a sixteenth of the devices, or none. Default: by
    device up to 16 devices, else by group, since thousands of small files a day are slow to read. A lake keeps what it
    began with."""

    compression_level: int = Field(default=3, ge=1, le=19)
    """Of zstd: higher is smaller, and costs more CPU."""
