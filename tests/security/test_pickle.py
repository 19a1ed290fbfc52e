"""No pickle is ever read: one is planted in every file that dnapair loads."""

import hashlib
import io
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from dnapair.data.columns import has_names
from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import find_files
from dnapair.data.scored_columns import find_sequences
from dnapair.data.sequences import read_fasta
from dnapair.data.tables import open_table
from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.scaling import Scaler
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import InteractionScaling
from dnapair.interactions.store import InteractionStore
from dnapair.networks.weights import load_weights
from dnapair.params import load_params
from dnapair.pretraining.checkpoint import read_standing
from dnapair.scoring.scorer import PairScorer
from dnapair.storage.files import read_json, write_json
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.numeric_columns import read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.tracking.raw_data import describe_data
from tests.small_models import LAYOUT, SPEC, make_bundle


class Planted:
    """An object that leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def npy_of_objects(planted: Planted) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[planted]], object), allow_pickle=True)
    return file.getvalue()


def npz_of_objects(planted: Planted) -> bytes:
    file = io.BytesIO()
    np.savez(file, values=np.array([planted], object), allow_pickle=True)
    return file.getvalue()


def torch_archive(planted: Planted) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": planted}, file)
    return file.getvalue()


CONTENTS: dict[str, Callable[[Planted], bytes]] = {
    "pickle": lambda planted: pickle.dumps(planted, 5),
    "text pickle": lambda planted: pickle.dumps(planted, 0),
    "npy of objects": npy_of_objects,
    "npz of objects": npz_of_objects,
    "torch archive": torch_archive,
}
FILES: dict[str, Callable[[Path], object]] = {
    "embeddings.npy": MatrixFile,
    "scaler.safetensors": Scaler.load,
    "interactions.json": lambda path: InteractionScaling.load(path.parent),
    "interactions.safetensors": Scaler.load,
    "weights.safetensors": lambda path: load_weights(path, SPEC),
    "report.json": read_json,
    "manifest.json": lambda path: EmbeddingStore.open(path.parent),
    "test.parquet": lambda path: read_numbers(path, ["row1"]),
    "pairs.parquet": read_table,
    "sequences.parquet": lambda path: SequenceFile(path)[0],
    "params.yaml": load_params,
    "data.dvc": describe_data,
    "checkpoint.safetensors": lambda path: read_standing(path, {}),
    "pairs.csv": lambda path: read_dataset(find_files(path), Reading()),
    "more.parquet": lambda path: find_sequences(open_table(path, has_names)),
    "sequences.fasta": lambda path: read_fasta([path]),
}
BUNDLE = (
    "settings.json",
    "network.json",
    "weights.safetensors",
    "scaler.safetensors",
    "interactions.json",
    "interactions.safetensors",
    "encoder/config.json",
    "encoder/vocab.txt",
    "encoder/model.safetensors",
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("model"), layout=LAYOUT)


def test_what_is_planted_does_run_where_it_is_unpickled(tmp_path: Path) -> None:
    for number, make in enumerate(list(CONTENTS.values())[:2]):
        mark = tmp_path / str(number)
        pickle.loads(make(Planted(mark)))  # noqa: S301
        assert mark.exists()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_file_is_refused_and_not_run(tmp_path: Path, name: str, content: str) -> None:
    mark, path = tmp_path / "was run", tmp_path / name
    path.write_bytes(CONTENTS[content](Planted(mark)))
    with pytest.raises(DnapairError) as refused:
        FILES[name](path)
    assert name in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("name", BUNDLE)
def test_a_pickle_in_a_part_of_a_model_is_refused(
    tmp_path: Path, bundle: Path, name: str, content: str
) -> None:
    mark = tmp_path / "was run"
    model = shutil.copytree(bundle, tmp_path / "model")
    (model / name).write_bytes(CONTENTS[content](Planted(mark)))
    with pytest.raises(DnapairError):
        PairScorer(model)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", ["pickle", "text pickle", "torch archive"])
@pytest.mark.parametrize("allowed", [True, False])
def test_a_pytorch_bin_is_read_as_tensors_or_not_at_all(
    tmp_path: Path, bundle: Path, content: str, allowed: bool
) -> None:
    mark = tmp_path / "was run"
    folder = shutil.copytree(bundle / "encoder", tmp_path / "encoder")
    planted = CONTENTS[content](Planted(mark))
    # as large as its config.json asks for, so that its size is not what gives it away
    (folder / "pytorch_model.bin").write_bytes(planted + bytes(10_000))
    (folder / "model.safetensors").unlink()
    with pytest.raises(DnapairError):
        load_encoder(str(folder), None, allow_pytorch_bin=allowed)
    assert not mark.exists()


def test_a_shard_whose_manifest_was_changed_with_it_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "was run"
    for name in ("npy of objects", "npz of objects", "pickle"):
        content = CONTENTS[name](Planted(mark))
        (tmp_path / "shard-00000.npy").write_bytes(content)
        shard = {"file": "shard-00000.npy", "rows": 1, "sha256": hashlib.sha256(content).hexdigest()}
        made_by = {"encoder": "any", "trained": True, "layout": LAYOUT._asdict()}
        write_json(
            tmp_path / "manifest.json",
            {"rows": 1, "pairs": 1, "dimensions": 1, "made_by": made_by, "shards": [shard]},
        )
        for kind in (EmbeddingStore, InteractionStore):
            with pytest.raises(DnapairError, match="is no shard"):
                list(kind.open(tmp_path).shards())
    assert not mark.exists()


def test_pickles_as_values_of_a_parquet_are_text_or_refused(tmp_path: Path) -> None:
    mark = tmp_path / "was run"
    column = [pickle.dumps(Planted(mark), protocol) for protocol in (5, 5)]
    pq.write_table(pa.table({"seq1": column, "seq2": column, "label": [0, 1]}), tmp_path / "pairs.parquet")
    with pytest.raises(DnapairError, match="holds binary, which can't be read as text"):
        read_dataset(find_files(tmp_path), Reading())
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:.*Any type hint")  # MLflow's, of its own types
def test_a_registered_model_that_is_a_pickle_is_refused(tmp_path: Path) -> None:
    import mlflow.pyfunc

    from dnapair.registry.loading import load_scorer

    class Tempting(mlflow.pyfunc.PythonModel):
        """A model as others log them: pickled."""

        def __init__(self) -> None:
            self.scorer = Planted(tmp_path / "was run")

        def predict(self, model_input: list[str], params=None) -> list[str]:
            return model_input

    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(str(folder), python_model=Tempting(), pip_requirements=["mlflow"])
    assert (folder / "python_model.pkl").is_file()
    with pytest.raises(DnapairError, match="is not a pair model"):
        load_scorer(str(folder))
    assert not (tmp_path / "was run").exists()


@pytest.mark.parametrize("name", ["given.json", "oracle.json", "trial_0/trial.json"])
def test_a_pickle_in_a_search_is_not_run(tmp_path: Path, name: str) -> None:
    from dnapair.training.trials import SearchSettings, Space, Values
    from dnapair.training.tuning import search

    given = Values("both", (8,), 0.1, 0.001, 0.01, 32)
    space = Space(["both"], [(8,), (16,)], (0.0, 0.5), (0.0001, 0.01), (0.0001, 0.1), [32])
    settings = SearchSettings("random", 3, 1, 1)
    folder, mark = tmp_path / "study", tmp_path / "was run"
    tried = []

    def objective(number: int, values: Values, epochs: int) -> float:
        tried.append(number)
        return values.dropout

    search(objective, given, space, settings, folder)
    assert (folder / name).is_file()
    (folder / name).write_bytes(CONTENTS["pickle"](Planted(mark)))
    tried.clear()
    if name == "given.json":
        with pytest.raises(DnapairError, match="study"):
            search(objective, given, space, settings, folder)
    else:
        # what Keras Tuner can't read is searched anew
        search(objective, given, space, settings, folder)
        assert tried == [2, 3]
    assert not mark.exists()


def test_a_checkpoint_of_pretraining_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    from dnapair.pretraining.checkpoint import Standing, restore, save_checkpoint

    module, other = torch.nn.Linear(2, 2), torch.nn.Linear(3, 2)
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(
        path, {"seed": 1}, Standing("pretraining", 1, 1.0, []), module, torch.optim.AdamW(module.parameters())
    )
    assert json.loads(json.dumps(read_standing(path, {"seed": 1})))[0] == "pretraining"
    with pytest.raises(DnapairError, match="does not fit"):
        restore(path, other, torch.optim.AdamW(other.parameters()))
