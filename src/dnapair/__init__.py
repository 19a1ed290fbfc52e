"""dnapair tells related DNA from unrelated DNA.

From Python: :func:`load_model`, :func:`read_pairs` and :func:`embed`, all of :mod:`dnapair.api`.
"""

import sys
from typing import Any

from dnapair.errors import DnapairError

__version__ = "0.1.0"
__all__ = ["DnapairError", "Explanation", "Model", "embed", "load_model", "read_pairs"]

# OpenVINO tells Google Analytics of every import, unless the package it does that with can't be imported
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # pandas and PyTorch take seconds: who asks for the version alone does not wait
    from importlib import import_module

    return getattr(import_module("dnapair.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
