"""The API is what its own description says, as schemathesis judges it: no 5xx, no answer that is not described."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest

from gateway.trust.access import ALL
from plugins.web.tests.conftest import Running
from plugins.web.tests.people import add, token

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "allow_header_conformance",
)  # fmt: skip
"""Not unsupported_method, which wants 405 also where who asks is nobody (401), or sends a GET with a body (400)."""
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 429]
"""


@pytest.fixture
def schemathesis() -> str:
    beside = Path(sys.prefix) / "schemathesis" / "bin" / "schemathesis"
    if found := str(beside) if beside.exists() else shutil.which("schemathesis"):
        return found
    pytest.skip("needs schemathesis: sh .ci/tools.sh installs it")


@pytest.mark.parametrize("who", ["all roles", "viewer", "nobody"])
async def test_no_answer_is_a_bug_or_undescribed(running: Running, schemathesis: str, who: str, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    async with running("login_to_look = true") as plant:
        add(plant, "anna", *ALL)
        secret = token(plant, "anna", *ALL)
        described = (await plant.browser().get("/api/v1/openapi.json", authorization=f"Bearer {secret}")).body
        (tmp_path / "openapi.json").write_bytes(described)
        headers = [] if who == "nobody" else ["--header", f"Authorization: Bearer {secret}"]
        if who == "viewer":
            headers[-1] = f"Authorization: Bearer {token(plant, 'anna', 'viewer')}"
        judging = await asyncio.create_subprocess_exec(
            *(schemathesis, "--config-file", "schemathesis.toml", "run", "openapi.json"),
            *("--url", f"{plant.address}api/v1", "--seed", "7", "--max-examples", "15", "--phases", "coverage,fuzzing"),
            *("--checks", ",".join(CHECKS), "--exclude-path-regex", "^/stream/", "--request-timeout", "60"),
            *("--suppress-health-check", "all", "--output-truncate", "true", "--no-color", "--no-shrink"),
            *("--report", "json", "--report-json-path", "report.json", *headers),
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await judging.communicate()
        assert judging.returncode == 0, "\n".join(line[:300] for line in told.decode().splitlines())[-8000:]
        assert json.loads((tmp_path / "report.json").read_text())
        await plant.more_is_read()
