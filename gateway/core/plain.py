"""One value as JSON has it."""

import base64
import math
from typing import Any

import numpy as np

from gateway.core.readings import Exact


def plain(value: Exact | float, value_type: str) -> Any:
    """A value as JSON has it: null for none, true and false for booleans, whole numbers for integers, base64 for bytes."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    if value_type == "bool":
        return bool(value)
    if "int" in value_type:
        return int(value)
    return float(str(np.float32(value))) if value_type == "float32" else value
