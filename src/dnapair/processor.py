"""What the processor can do."""


def has_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 matrices itself (AVX512-BF16, AMX, or Arm's own)."""
    # loaded late: training with a GPU never asks
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
