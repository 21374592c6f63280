"""The front door: the command line, and the composition root, the only place that imports every floor."""

import os

__version__ = "0.1.0"

# From 1.29 on ONNX Runtime reports to Microsoft, and keeps a number of this machine, unless this stands here before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
