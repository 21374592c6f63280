"""What a caller can be asked, and how an answer is judged."""

import os

# From 1.29 on ONNX Runtime reports to Microsoft, and keeps a number of this machine, unless this stands here before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
