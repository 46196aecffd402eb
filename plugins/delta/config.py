"""What the configuration says of a lake of Delta tables. Imports no library of it, so that checking is fast."""

from gateway.kit.lake_place import LakeConfig
from gateway.plugin import Field, Period


class DeltaConfig(LakeConfig):
    compact_every: Period = Field(default=3600.0, ge=1.0)
    """How often small files are made into larger ones: what a commit adds costs more with each file there is."""

    keep_versions: Period = Field(default=604_800.0, ge=3600.0)
    """How long files stay that compaction has replaced: so far back a reader may travel, and so long may a query take."""
