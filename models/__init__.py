"""The detector: features, causal Conformer, runtimes, training, evaluation, weights."""

import os

# From 1.29 on ONNX Runtime reports to Microsoft, and keeps a number of this machine, unless this stands here before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
