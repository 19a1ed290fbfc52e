"""What each command imports of what is slow to import: what it computes with, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project
from tests.waiting import PATIENCE

pytestmark = pytest.mark.slow

HEAVY = {
    "alembic",
    "dvc",
    "fastapi",
    "great_expectations",
    "keras",
    "keras_tuner",
    "matplotlib",
    "mlflow",
    "numba",
    "openvino",
    "peft",
    "pandas",
    "ray",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "tensorflow",
    "torch",
    "transformers",
}
MLFLOW = {"alembic", "fastapi", "mlflow", "pandas", "scipy", "sqlalchemy"}
"""MLflow brings the others."""
# PyArrow brings pandas wherever it makes columns of arrays
SCORER = {"numba", "openvino", "torch"}
TENSORFLOW = {"keras", "matplotlib", "openvino", "pandas", "scipy", "sklearn", "tensorflow"}
"""Keras brings what it has wrappers for; OpenVINO knows whether the processor has bfloat16."""
ALLOWED = {
    "locate data": set(),
    "locate encoder": set(),
    "prepare": {"pandas", "scipy"},
    "finetune": set(),
    "embed": {"openvino"},
    "interact": {"numba", "pandas", "scipy"},
    "scale": {"matplotlib", "pandas"},
    "validate": {"great_expectations", "pandas", "scipy", "sklearn", "sqlalchemy"},
    "tune": TENSORFLOW | {"keras_tuner"},
    "train torch": MLFLOW - {"alembic", "sqlalchemy"} | {"numba", "openvino", "torch"},
    "train tensorflow": MLFLOW - {"alembic", "sqlalchemy"} | TENSORFLOW | {"numba"},
    "score": TENSORFLOW | {"torch"},
    "baselines": {"openvino", "pandas", "scipy", "sklearn", "torch"},
    "crossvalidate": set(),
    "evaluate": {"matplotlib", "numba", "pandas", "scipy", "sklearn"},
    "register": MLFLOW | SCORER,
    "--help": set(),
    "predict --help": set(),
    "use --help": set(),
    "predict pairs.csv --output scored.csv": SCORER | {"pandas", "scipy"},
    "models": MLFLOW,
    "doctor": MLFLOW | {"openvino", "torch"},
    "export --output artifacts/exported": {"pandas"},
}
"""Of each command, of those in HEAVY."""
WATCHED = """
import atexit, json, sys
from pathlib import Path

target, *words = sys.argv[1:]
heavy = set(json.loads(target))
atexit.register(lambda: Path("imported.json").write_text(json.dumps(sorted(heavy & set(sys.modules)))))
sys.argv = ["dnapair", *words]
from dnapair.cli import main

main()
"""


@pytest.mark.parametrize("words", ALLOWED)
def test_a_command_imports_what_it_computes_with(finished: Project, words: str):
    pairs = finished.root / "pairs.csv"
    pairs.write_text(f"seq1,seq2\n{'ACGT' * 20},{'ACGTTT' * 15}\n")
    try:
        done = subprocess.run(
            [sys.executable, "-c", WATCHED, json.dumps(sorted(HEAVY)), *words.split()],
            cwd=finished.root,
            env=finished.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        imported = set(json.loads((finished.root / "imported.json").read_text()))
        assert imported - ALLOWED[words] == set()
    finally:
        for made in ("pairs.csv", "scored.csv", "imported.json"):
            Path(finished.root / made).unlink(missing_ok=True)
