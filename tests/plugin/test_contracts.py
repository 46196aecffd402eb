"""The contract suites find what they are there to find: each scaffold below is spoilt in one place, and the test of that
promise, run as a plugin author runs it, must fail."""

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gateway
from gateway.plugin.scaffold import write_scaffold

READ = 'answers = [await self._stream.ask(b"READ %d\\r\\n" % tag.config.channel) for tag in tags]'
DIAL = "self._stream = await open_stream(self.config.host, self.config.port, ANSWERS)"
CLOSE = "        await self._stream.close()"
ACKNOWLEDGE = "self.host.acknowledged([self._open.pop(id_)])"

CONNECT = "    async def connect(self) -> None:\n"
SERVE = "    async def serve(self) -> None:\n"

DRIVERS = {
    "unordered": ("in answers]", "in reversed(answers)]", "test_values_belong_to_their_tags"),
    "spoiling": ("        return None", "        raise", "test_a_bad_tag_is_a_bad_row_and_its_neighbours_are_good"),
    "undocumented": ('    """Address of the device."""\n', "", "test_every_option_is_explained"),
    "deaf": (
        READ,
        f"try:\n            {READ}\n        except Exception:\n            return [None for _ in tags]",
        "test_a_link_cut_while_reading_ends_the_line[reset]",
    ),
    "blind": (
        READ,
        f"try:\n            {READ}\n        except Exception:\n            answers = [b'0' for _ in tags]",
        "test_a_link_cut_while_reading_ends_the_line[closed]",
    ),
    "stubborn": (
        READ,
        f"try:\n            {READ}\n        except BaseException:\n            raise OSError",
        "test_a_cancelled_read_leaves_the_line_closable",
    ),
    "leaking": (CLOSE, "        pass", "test_a_line_leaves_nothing_behind"),
    "busy": (
        DIAL,
        f"{DIAL}\n        import asyncio\n        self._task = asyncio.create_task(asyncio.sleep(60))",
        "test_a_line_leaves_nothing_behind",
    ),
    "threaded": (
        DIAL,
        f"{DIAL}\n        await self.in_thread(print)\n        self.release = print",
        "test_a_line_leaves_nothing_behind",
    ),
    "hopeful": (
        DIAL,
        f"try:\n            {DIAL}\n        except Exception:\n            pass",
        "test_connecting_to_nobody_raises_and_leaves_nothing",
    ),
    "greedy": (
        "longest=100",
        "longest=10**9",
        "test_floods_giants_and_drips_cost_the_link_and_nothing_else[floods]",
    ),
    "mute": (
        CONNECT,
        f"    def __init__(self, devices, host):\n        super().__init__(devices)\n\n{CONNECT}",
        "test_it_hands_its_host_on",
    ),
    "clinging": (
        CLOSE,
        f"        self._stream.write(b'BYE')\n{CLOSE}",
        "test_closing_a_dead_line_does_not_raise",
    ),
}
SINKS = {
    "hasty": (
        "self._open[record.id] = record",
        "self.host.acknowledged([record])",
        "test_nothing_is_acknowledged_before_the_far_side_did",
    ),
    "twice": (
        ACKNOWLEDGE,
        f"self.host.acknowledged([self._open[id_]])\n                {ACKNOWLEDGE}",
        "test_all_that_is_sent_is_acknowledged_once",
    ),
    "obedient": (
        "self.host.refused(self._open.pop(id_), ",
        "print(",
        "test_a_refusal_is_reported_with_its_reason_and_the_rest_goes_on",
    ),
    "quitting": (
        SERVE,
        f"{SERVE}        try:\n            await self._serve()\n        except Exception:\n            pass\n\n"
        "    async def _serve(self) -> None:\n",
        "test_a_link_cut_while_sending_ends_serving_and_the_next_one_delivers[closed]",
    ),
    "careless": (
        SERVE,
        f"{SERVE}        try:\n            await self._serve()\n        except Exception:\n            pass\n\n"
        "    async def _serve(self) -> None:\n",
        "test_a_link_cut_while_sending_ends_serving_and_the_next_one_delivers[reset]",
    ),
    "leaving": (CLOSE, "        pass", "test_closing_leaves_nothing_behind"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Whether the tests passed: {plugin: {test: passed}}. Of a spoilt plugin only the test of its promise runs."""
    directory = tmp_path_factory.mktemp("plugins")
    chosen = ["unspoilt_driver", "unspoilt_sink"]
    write_scaffold("unspoilt_driver", directory)
    write_scaffold("unspoilt_sink", directory, "sink")
    for sink, spoilt in ((False, DRIVERS), (True, SINKS)):
        for name, (old, new, promise) in spoilt.items():
            write_scaffold(name, directory, "sink" if sink else "driver")
            test = directory / name / "tests" / f"test_{name}.py"
            spoil(directory / name / "__init__.py", old, new)
            spoil(test, " = load_plugin(HERE)", " = load_plugin(HERE)\n    patience = 0.5\n    attacked_for = 2.0")
            chosen.append(f"{test.relative_to(directory)}::Test{name.title()}::{promise}")
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "unspoilt_sink/pytest.ini",
         "-W", "default", "--rootdir=.", "--junit-xml=report.xml", *chosen],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(Path(gateway.__file__).parents[1])},
        capture_output=True,
        timeout=240,
    )  # fmt: skip
    found = {}
    for case in ElementTree.parse(directory / "report.xml").findall(".//testcase[@classname]"):
        passed = case.find("failure") is None and case.find("error") is None
        found.setdefault(case.get("classname").split(".")[0], {})[case.get("name")] = passed
    return found


def spoil(path, old, new):
    code = path.read_text()
    assert old in code, f"the scaffold no longer holds {old!r}: spoil it in another way"
    path.write_text(code.replace(old, new))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [*DRIVERS, *SINKS])
def test_a_plugin_that_breaks_a_promise_fails_the_test_of_that_promise(outcomes, name):
    promise = {**DRIVERS, **SINKS}[name][2]
    assert outcomes[name] == {promise: False}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["unspoilt_driver", "unspoilt_sink"])
def test_a_plugin_that_keeps_all_promises_passes_all_tests(outcomes, name):
    assert len(outcomes[name]) > 10
    assert all(outcomes[name].values())
