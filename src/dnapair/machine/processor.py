"""What the processor can do."""

import os

import psutil


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 matrices itself (AVX512-BF16, AMX, or Arm's own)."""
    # loaded late: training with a GPU never asks
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cores() -> int:
    """Return how many cores to work on: as many as OMP_NUM_THREADS says, or all that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked):
        return int(asked)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)
