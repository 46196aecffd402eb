"""What every sink promises that commits, kept by Delta tables in a folder."""

from pathlib import Path

from gateway.plugin import RangeSinkConfig
from gateway.testing import RangeSinkContract, build_sink_config, load_plugin

from .reading import ids


class TestDeltaFolder(RangeSinkContract):
    sink = load_plugin(Path(__file__).parents[1])

    def config(self, place: Path) -> RangeSinkConfig:
        config = build_sink_config(self.sink, {"folder": str(place / "lake")})
        assert isinstance(config, RangeSinkConfig)
        return config

    def ids(self, place: Path) -> list[str]:
        return ids(place / "lake")

    def spoil(self, place: Path) -> None:
        (place / "lake").rename(place / "away")
        (place / "lake").write_text("no folder")

    def mend(self, place: Path) -> None:
        (place / "lake").unlink()
        (place / "away").rename(place / "lake")
