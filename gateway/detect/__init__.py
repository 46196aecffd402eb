"""Scores windows of readings with ONNX models, and says what is unusual.

    Readings ─▶ Binding ─▶ Grid ─▶ Session ─▶ Decisions ─▶ Event
                tags →     windows  scores     raised,      in words, with the
                inputs              (ONNX)     cleared      part of each tag

`Detector` runs one `Watch` for each model; a Watch holds the five parts above for all devices that the model watches.
A model is an `.onnx` file with its card in the metadata: `card.py` says what stands in it.
"""

from gateway.detect.detector import Detector, matching

__all__ = ["Detector", "matching"]
