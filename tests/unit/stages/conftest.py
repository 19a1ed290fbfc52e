"""A folder in which stages run, in this process: settings, a record, and data as `prepare` leaves them."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import mlflow
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from dnapair.stages import paths
from dnapair.storage.files import atomic_folder, write_json, write_sums
from dnapair.storage.sequence_file import write_sequences

PARAMS = Path(__file__).parents[3] / "params.yaml"


class Folder:
    """Where stages run."""

    def set(self, settings: dict[str, object]) -> None:
        """Change settings in params.yaml, each by its section and its name."""
        path = Path("params.yaml")
        content = yaml.safe_load(path.read_text())
        for key, value in settings.items():
            section, name = key.split(".")
            content[section][name] = value
        path.write_text(yaml.safe_dump(content))

    def write(
        self, sequences: Sequence[str], rows1: np.ndarray, rows2: np.ndarray, split: np.ndarray
    ) -> None:
        """Write artifacts/dataset; every other pair is related."""
        pairs = {"row1": rows1, "row2": rows2, "label": (np.arange(rows1.size) % 2).astype(np.int8)}
        with atomic_folder(paths.DATASET) as folder:
            pq.write_table(pa.table({**pairs, "split": split}), folder / paths.PAIRS.name)
            named = ((f"s{row}", sequence) for row, sequence in enumerate(sequences))
            write_sequences(folder / paths.SEQUENCES.name, named)
            write_sums(folder)
        repeated = {"pairs": 0, "examples": []}
        write_json(paths.DATASET_REPORT, {"pairs": {"read": rows1.size}, "repeated_across_splits": repeated})


@pytest.fixture(scope="session")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of MLflow's with its tables made, which takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def folder(empty_record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    shutil.copy(empty_record, tmp_path / "mlflow.db")
    shutil.copy(PARAMS, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    # MLflow and the stages change them
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.setenv(name, "")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield Folder()
    mlflow.set_tracking_uri(before)
