"""`make figures` counts what it says."""

from pathlib import Path

from benchmarks.figures import figures

ROAD = """
from collections.abc import Callable
from typing import Any

Tell = Callable[[str], None]
Json = dict[str, Any]

class Gateway:
    def __init__(self, a, b, c, d, e, f, g, *, tell: Tell, ask: Callable[[], int] | None = None):
        self.sink = a

    def run(self) -> dict[str, Any]:
        self.sink.told = self.run
        self.a, self.b = 1, 2
        return {}

    def end(self, said: list[Json], more: Json) -> Json: ...
"""


def put(tree: Path, name: str, text: str = "") -> None:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_every_figure_is_that_of_the_tree_it_is_told_of(tmp_path: Path) -> None:
    put(tmp_path, "gateway/app.py", ROAD)
    for number in range(21):
        put(tmp_path, f"gateway/outbox/part_{number}.py")
    put(tmp_path, "gateway/publish/part_1.py", "class Sink:\n    pass\n")
    put(tmp_path, "gateway/cli/part_2.py")
    put(tmp_path, "plugins/mqtt/sink.py", "class Sink:\n" + "".join(f"    def f{i}(self): ...\n" for i in range(16)))
    put(tmp_path, "plugins/mqtt/tests/test_sink.py", "class Sink:\n    pass\n")
    put(tmp_path, "plugins/xgt/driver.py", '"""Of two\nlines."""\n\na = 1  # one\n# two\nb = """x\ny"""\n')
    put(tmp_path, "plugins/xgt/line/frames.py", "c = 1\n")
    put(tmp_path, "plugins/fins/driver.py", "d = 1\n")
    found = figures(tmp_path)
    house = ["1 (21)", "28 (17)", "1", "1 (2)", "2", "1", "1", "1", "3", "2 (3)", "45"]
    assert [*found.values()] == [*house, "4 (1, 8)", "2 (1, 4)"]


def test_an_empty_tree_has_no_gateway_and_is_counted_all_the_same(tmp_path: Path) -> None:
    put(tmp_path, "gateway/__init__.py")
    assert figures(tmp_path)["methods of Gateway"] == "–"
    assert figures(tmp_path)["lines"] == "0"
