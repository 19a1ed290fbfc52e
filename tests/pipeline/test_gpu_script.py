"""The script for a GPU runs on a CPU too, at toy size: all of it but the card."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
ENV = os.environ | {
    "CUDA_VISIBLE_DEVICES": "",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}

pytestmark = pytest.mark.slow


def test_it_measures_what_it_says_at_toy_size(tmp_path: Path):
    done = subprocess.run(
        ["sh", str(ROOT / "benchmarks/gpu.sh"), str(tmp_path / "gpu"), "--toy"],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu/gpu.json").read_text())
    assert set(found["finetune"]) == {"full", "lora"}
    assert all(one["pairs_per_s"] > 0 for one in found["finetune"].values())
    assert all(one["float32_error"] < 1e-3 < one["bfloat16_tokens_per_s"] for one in found["embed"].values())
    assert found["pretrain_tokens_per_s"] > 0
    assert done.stdout.strip() == (tmp_path / "gpu/gpu.md").read_text().strip()


def test_without_a_gpu_it_says_how_to_try_it(tmp_path: Path):
    done = subprocess.run(
        ["sh", str(ROOT / "benchmarks/gpu.sh"), str(tmp_path / "gpu")],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "--toy" in done.stderr
    assert not (tmp_path / "gpu").exists()
