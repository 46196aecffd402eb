"""A value that no float64 holds, as text for a cell of a table."""

import base64
import json
from typing import Any


def exact_text(value: Any) -> str:
    """A value that no float64 holds: bytes as base64, arrays as JSON; half a character, which some PLCs send, is escaped."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=exact_text)
    return text.encode("utf-8", "backslashreplace").decode()
