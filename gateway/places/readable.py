"""What the user of the gateway may read, asked by root, who may read all."""

import os
from collections.abc import Iterable
from pathlib import Path

from gateway.places.owner import as_owner, owner
from gateway.places.person import user_name


def unreadable_by_owner(folder: Path, paths: Iterable[Path]) -> dict[Path, str]:
    """Why the owner of this folder may not read some of these files and folders, in words; nothing where root does not ask,
    or is the owner."""
    if os.getuid():
        return {}
    with as_owner(folder):
        if not os.geteuid():
            return {}
        name = user_name(os.geteuid())
        group = user_name(owner(folder)[0])
        refused = [path for path in paths if _is_refused(path)]
    return {
        path: f"{name}, as whom the gateway runs, may not read {path}: chgrp {group} it, chmod g+r it, and let the group "
        "into its folders (chmod g+x)"
        for path in refused
    }


def _is_refused(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False  # another mistake, told elsewhere
    wanted = os.R_OK | os.X_OK if path.is_dir() else os.R_OK
    return not os.access(path, wanted, effective_ids=True)
