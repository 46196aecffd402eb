"""What the servers of the tests leave behind."""

from pathlib import Path

import pytest

from tests.peers.opcua_servers import OpcUaPeer


async def test_a_server_that_does_not_start_says_so_and_leaves_no_pipe_for_a_later_test_to_fail_over(
    tmp_path: Path,
) -> None:
    peer = OpcUaPeer("asyncua", tmp_path, "--nonsense")
    with pytest.raises(RuntimeError, match="the asyncua server has ended with 2"):
        await peer.start()
    assert peer._process is None
