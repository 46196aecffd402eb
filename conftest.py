"""For all tests, of the core and of the plugins.

No time limit per Hypothesis example, because the machine is shared with servers and other tests. Whatever a test does to
logging ends with it, so that tests may come in any order. Chance can be repeated.
"""

import os
import random
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")

for processor in structlog.get_config()["processors"]:
    if isinstance(
        processor, structlog.dev.ConsoleRenderer
    ):  # tracebacks as the gateway writes them: its own are drawn slowly
        processor.exception_formatter = structlog.dev.plain_traceback


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Which tests go to one process: those of a file. Those of OPC UA go to two, for each kind of server one, so that each
    server is started once. What takes longest comes first, because the last ones that run are what the others wait for."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndServer(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            kind = re.search(r"^plugins/opcua/.*\[(node-opcua|asyncua)\b", nodeid)
            return kind[1] if kind else str(super()._split_scope(nodeid))

    if config.option.dist != "loadfile":
        return None  # as the command line says
    config.option.loadscopereorder = False  # but as below
    return ByFileAndServer(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several processes the servers of OPC UA come first, then the whole gateway."""
    if hasattr(config, "workerinput"):
        items.sort(
            key=lambda item: (not item.nodeid.startswith("plugins/opcua/"), not item.get_closest_marker("system"))
        )


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What the test starts hears Ctrl-C; where the tests themselves run in the background of a shell, it would be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def new_seed() -> int:
    """Another one each time, told where the test fails; SEED in the environment repeats it. In CI always the same, as the
    examples of Hypothesis are: what chance finds is not the fault of the change that is judged."""
    chosen = int(os.environ.get("SEED") or (2026 if os.environ.get("CI") else random.SystemRandom().randrange(2**32)))
    print(f"SEED={chosen} makes this test take the same chances again")
    return chosen
