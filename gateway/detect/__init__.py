"""Scores windows of readings with ONNX models, watches limits, and says what is unusual.

    Readings ─┬▶ Binding ─▶ Grid ─▶ ModelSession ─▶ NofM ───┬▶ Alarms ─▶ Event
              │  tags →     windows  scores         raised, │  who has   in words, with the
              │  inputs              (ONNX)         cleared │  seen it   part of each tag
              ├▶ Slots ──────────▶ Limits ──────────────────┤
              └▶ Watch of a plugin ─────────────────────────┘

`Detector` feeds a list of `Watcher`s: a `RunningModel` for each `[[model]]`, whose `ModelWatcher` holds the parts of the
upper row for all devices that the model watches, a `LimitWatch` for each `[[alarm]]`, and a `PluginWatch` for each with
`plugin`. The alarms (`gateway.alarms`) outlive them: they are what a restart or a new model finds as it was.
`models/` reads, tries and runs model files, `windows/` has the grid and
what is decided on it, `learn/` makes a first model. A model is an `.onnx` file with its card in the metadata:
`models/card.py` says what stands in it.
"""

from gateway.detect.detection import Detection
from gateway.detect.detector import Detector
from gateway.detect.patterns import matching

__all__ = ["Detection", "Detector", "matching"]
