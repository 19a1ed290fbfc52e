"""The registered model on Spark and on Ray, by the code that docs/batch.md shows; predict, killed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.pipeline.conftest import ROOT, Project
from tests.pipeline.test_serving import predictions, raw_pairs
from tests.waiting import PATIENCE, Gate

pytestmark = pytest.mark.slow

SPARK = (
    "--master local[2] --conf spark.ui.enabled=false --conf spark.driver.host=127.0.0.1 "
    "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.sql.execution.arrow.maxRecordsPerBatch=20 "
    "--conf spark.sql.files.maxPartitionBytes=4k pyspark-shell"
)


def run_documented(heading: str, finished: Project, folder: Path, **env: str) -> None:
    """Score the test pairs by the code under a heading of docs/batch.md, as the pipeline did."""
    text = (ROOT / "docs" / "batch.md").read_text()
    found = re.search(rf"^## {heading}$.*?^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    pairs = raw_pairs(finished, "test")
    pairs.to_parquet(folder / "pairs.parquet", row_group_size=30)
    done = subprocess.run(
        [sys.executable, "-c", found[1]],
        cwd=folder,
        env=finished.env | {"MLFLOW_TRACKING_URI": finished.tracking_uri, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    scored = pd.read_parquet(folder / "scored")
    expected = pairs.assign(expected=predictions(finished))
    both = scored.merge(expected.drop_duplicates(), on=["seq1", "seq2"], validate="many_to_one")
    assert len(both) == len(scored) == len(pairs)
    np.testing.assert_allclose(both["probability"], both["expected"], atol=1e-4)
    assert both["probability"].nunique() > 10


def test_registered_model_scores_on_spark(finished: Project, tmp_path: Path):
    pytest.importorskip("pyspark", reason="Spark is not installed: pip install '.[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("Spark needs Java 17 or 21, and there is none on the PATH or in JAVA_HOME")
    run_documented("Spark", finished, tmp_path, PYSPARK_SUBMIT_ARGS=SPARK, SPARK_LOCAL_IP="127.0.0.1")


def test_registered_model_scores_on_ray(finished: Project, tmp_path: Path):
    run_documented("Ray", finished, tmp_path, RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")


def test_predict_killed_in_the_middle_ends_as_if_undisturbed(finished: Project, tmp_path: Path):
    rng = np.random.default_rng(1)
    letters = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (2, 200, 300))]
    seq1, seq2 = ([bytes(row).decode() for row in side] for side in letters)
    table = tmp_path / "pairs.csv"
    pd.DataFrame({"seq1": seq1, "seq2": seq2}).to_csv(table, index=False)
    command = ["dnapair", "predict", str(table), "--chunk", "20", "--output"]
    finished.run(*command, str(tmp_path / "whole" / "out.csv"))

    output = tmp_path / "out.csv"
    # the sixth of ten parts is written
    gate = Gate(tmp_path / "gate", "os.rename", r"\.out\.csv\.parts/", turn=6)
    finished.kill_at(gate, *command, str(output))
    assert not output.exists()
    said = finished.run(*command, str(output))
    assert "200 pairs scored by models:/dnapair@champion, 100 of them before" in said
    assert output.read_bytes() == (tmp_path / "whole" / "out.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gate", "out.csv", "pairs.csv", "whole"]
