"""The machine that a benchmark runs on."""

import os
from pathlib import Path


def describe_machine() -> str:
    """Name the CPU and its cores."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'an unknown CPU'}, {os.cpu_count()} cores"
