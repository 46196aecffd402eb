"""Edge gateway for plant-floor devices. `gateway/README.md` is the map of this package."""

import os

__version__ = "0.1.0"

# onnxruntime 1.29 and later report to their vendor unless this is set before the first import of the library.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
