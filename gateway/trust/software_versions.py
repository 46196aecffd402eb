"""What runs here: for the audit trail, so that years later one can say what made a value."""

import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = (
    "asyncua", "cryptography", "numpy", "onnxruntime", "orjson", "paho-mqtt", "pydantic", "structlog", "tomli", "uvloop",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Python's version, and that of each installed library that the gateway relies on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
