"""What the files of a plugin hold, as one hash: for the audit trail, and so that a process of its own loads nothing else."""

import hashlib
from pathlib import Path

from gateway.places.regular import read_regular
from gateway.plugin.ownership import all_of

FILE_AT_MOST = 1024**3
"""Bytes of a plugin's file."""
_first: dict[Path, str] = {}


def content_hash(origin: Path) -> str:
    """SHA-256, in hex, over names and contents of a plugin's file or folder. Raises OSError, and PluginError for what is no
    plugin's."""
    whole = hashlib.sha256()
    for path in sorted(all_of(origin)):
        if "__pycache__" in path.parts or not path.is_file():
            continue
        content = hashlib.sha256(read_regular(path, FILE_AT_MOST)).hexdigest()
        whole.update(f"{path.relative_to(origin.parent)}\0{content}\n".encode())
    found = whole.hexdigest()
    _first.setdefault(origin, found)
    return found


def first_content_hash(origin: Path) -> str:
    """As it was when this process first asked, which is at its start for what it runs. Raises as `content_hash`."""
    return _first.get(origin) or content_hash(origin)
