"""Credentials that systemd keeps encrypted for one machine (systemd-creds(1)): under its TPM and a key of its own, or, where
there is no TPM, under that key alone, which is a file of root's."""

import shutil
import subprocess
from pathlib import Path

from gateway.core.errors import GatewayError

ENCRYPTED = Path("/etc/edge-gateway/credentials.encrypted")
"""Where systemd takes the service's encrypted credentials from."""
ID = "encrypted"
"""The unit's name for that folder: systemd gives each file in it as ID_NAME, if it was encrypted under that very name. One
that was not keeps the service from starting (exit code 243)."""
LONGEST = 128 * 1024
"""Bytes of one, as it lies there."""
TOOL = "systemd-creds"
_SECONDS = 20
"""It may wait for a TPM."""


def can_encrypt() -> bool:
    """Whether this machine's systemd has the command for it (systemd 250 and later)."""
    return shutil.which(TOOL) is not None


def has_tpm() -> bool:
    """Whether the machine has a TPM 2.0 that systemd can use."""
    try:
        asked = subprocess.run((TOOL, "has-tpm2"), capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return asked.returncode == 0


def encrypt(name: str, data: bytes) -> bytes:
    """For this machine alone. Raises GatewayError, without the secret in it."""
    # Not bound to the state of its firmware, as is the default: after an update of that the service would not start any more.
    return _ran(data, "encrypt", f"--name={ID}_{name}", "--tpm2-pcrs=", "-", "-")


def decrypt(name: str, data: bytes) -> bytes:
    """What was encrypted on this machine under this name; for root. Raises GatewayError."""
    return _ran(data, "decrypt", f"--name={ID}_{name}", "-", "-")


def _ran(data: bytes, verb: str, *more: str) -> bytes:
    try:
        done = subprocess.run((TOOL, verb, *more), input=data, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise GatewayError(f"{TOOL} did not answer within {_SECONDS} s") from None
    except OSError as error:
        raise GatewayError(f"{TOOL}: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise GatewayError(f"{TOOL} cannot {verb} it: {said}")
    return done.stdout
