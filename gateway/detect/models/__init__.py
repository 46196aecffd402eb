"""Model files: what one says of itself, whether it is let in, and what it says of windows.

    file ─▶ OnnxFile ─▶ Card ─▶ Trial ─▶ ModelSession ─▶ Scores
            onnx_file.py  card.py  in a process  session.py
            what may be   its      of its own    over graph.py, the one
            in it         promise  trial.py      place that calls onnxruntime

Knows nothing of devices, windows on a grid, or alarms.
"""

from gateway.detect.models.card import (
    CUTS,
    MAX_HISTORY,
    METADATA_KEY,
    Card,
    Input,
    Persistence,
    parse_card,
)
from gateway.detect.models.graph import Floats
from gateway.detect.models.onnx_file import MAX_SIZE, ModelError, OnnxFile, parse_onnx, read_onnx, with_metadata
from gateway.detect.models.session import (
    INLINE_SECONDS,
    MEMORY_IN_ALL,
    ModelSession,
    OpenModel,
    Scores,
    checked_signature,
    open_model,
    read_model,
    tried_model,
)
from gateway.detect.models.trial import WALL_SECONDS, Trial

__all__ = [
    "CUTS",
    "INLINE_SECONDS",
    "MAX_HISTORY",
    "MAX_SIZE",
    "MEMORY_IN_ALL",
    "METADATA_KEY",
    "WALL_SECONDS",
    "Card",
    "Floats",
    "Input",
    "ModelError",
    "ModelSession",
    "OnnxFile",
    "OpenModel",
    "Persistence",
    "Scores",
    "Trial",
    "checked_signature",
    "open_model",
    "parse_card",
    "parse_onnx",
    "read_model",
    "read_onnx",
    "tried_model",
    "with_metadata",
]
