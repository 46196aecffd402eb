"""`openssl s_server`: a TLS server that nobody here wrote, with whatever it is told."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.peers.certificates import Issued


@contextmanager
def s_server(own: Issued, more: Sequence[str] = ()) -> Iterator[int]:
    """A server on a free port of this machine, which it gives; what is sent to it is thrown away."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(own.certificate), "-key", str(own.key)]
    with subprocess.Popen(
        [*command, *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            said = ""
            for line in server.stdout:
                said += line
                if line.startswith("ACCEPT"):
                    yield int(line.rsplit(":", 1)[1])
                    break
            else:
                pytest.fail(f"openssl s_server does not listen: {said}")
        finally:
            server.kill()
