"""dnapair tells related DNA from unrelated DNA."""

import sys

__version__ = "0.1.0"

# OpenVINO tells Google Analytics of every import, unless the package it does that with can't be imported
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
