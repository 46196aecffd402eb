"""Values as JSON has them."""

import base64
import json
import math
from typing import Any

import numpy as np
import orjson

from gateway.core.readings import Exact
from gateway.core.text import encodable

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


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


def to_json(value: Any) -> bytes:
    """As JSON; NaN becomes null. What orjson refuses (halves of characters, integers beyond 64 bits) costs no more than
    itself. Raises TypeError for what JSON cannot hold."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return json.dumps(_refused(value), ensure_ascii=False, separators=(",", ":")).encode()


def _refused(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, dict):
        return {encodable(str(key)): _refused(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_refused(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return _refused(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
