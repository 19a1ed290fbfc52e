"""A name in data or settings never leads out of the project, and no code of a checkpoint is run."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, path_not_unique

from dnapair.data.dataset import Reading, read_dataset
from dnapair.data.raw_files import fasta_files, find_files
from dnapair.embedding.checkpoint import load_encoder
from dnapair.errors import DnapairError
from dnapair.params import check_params
from dnapair.tracking import metric_name
from tests.pipeline.conftest import ROOT
from tests.small_models import make_bundle

TABLE = "seq1,seq2,label\nACGTACGT,ACGTACGA,1\nACGTACGC,ACGTACGA,0\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "project" / "data"
    folder.mkdir(parents=True)
    (folder / "pairs.csv").write_text(TABLE)
    (tmp_path / "secret.csv").write_text(TABLE)
    (tmp_path / "secret.fa").write_text(">a\nACGT\n")
    return folder


@pytest.mark.parametrize("name", ["../../secret.csv", "../data/../../secret.csv", "absolute", "/etc/passwd"])
@pytest.mark.parametrize("kind", ["tables", "fastas"])
def test_data_pairs_and_data_sequences_stay_in_the_folder(data: Path, name: str, kind: str) -> None:
    name = str(data.parents[1] / "secret.csv") if name == "absolute" else name
    with pytest.raises(DnapairError, match=r"leads out of .*data"):
        find_files(data, **{kind: [name]})


def test_a_name_with_dots_that_stays_inside_is_read(data: Path) -> None:
    assert len(read_dataset(find_files(data, ["../data/pairs.csv"]), Reading()).pairs) == 2


@pytest.mark.parametrize("name", ["more.csv", "notes.md", "more.fa"])
def test_a_link_out_of_the_folder_is_refused(data: Path, name: str) -> None:
    (data / name).symlink_to(data.parents[1] / "secret.csv")
    with pytest.raises(DnapairError, match=rf"{name} leads out of .*data, to .*secret\.csv"):
        find_files(data)
    with pytest.raises(DnapairError, match="leads out"):
        fasta_files(data, "pretrain.fasta")


def test_a_linked_folder_in_the_data_is_not_entered(data: Path) -> None:
    (data / "more").symlink_to(data.parents[1])
    assert [path.name for path in find_files(data).tables] == ["pairs.csv"]
    with pytest.raises(DnapairError, match="leads out"):
        find_files(data, ["more/secret.csv"])


def test_links_that_dvc_makes_and_the_users_own_are_followed(data: Path) -> None:
    cache = data.parents[1] / "cache" / "files" / "md5" / "0a"
    cache.mkdir(parents=True)
    (data / "pairs.csv").rename(cache / ("b" * 30))
    (data / "pairs.csv").symlink_to(cache / ("b" * 30))
    own = data.parent / "own"
    own.symlink_to(data)
    assert len(read_dataset(find_files(own), Reading()).pairs) == 2


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("pretrain", {"output": "/tmp/own"}),  # noqa: S108
        ("pretrain", {"output": "../own"}),
        ("pretrain", {"output": "encoders/../../own"}),
        ("pretrain", {"output": "."}),
        ("register", {"name": "../../x"}),
        ("register", {"name": "x/y"}),
        ("register", {"name": "x' or name != '"}),
        ("register", {"alias": "../x"}),
        ("register", {"alias": "a'b"}),
    ],
)
def test_settings_that_name_a_place_to_write_stay_in_the_project(section: str, change: dict) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content[section] |= change
    with pytest.raises(DnapairError, match=rf"{section}\.{next(iter(change))}"):
        check_params(content, "params.yaml")


@given(st.text(max_size=400))
def test_no_name_in_the_data_makes_a_metric_that_is_a_path(words: str) -> None:
    name = metric_name(f"slice.{words}.value")
    assert "/" not in name
    assert not path_not_unique(name)
    assert len(name) + len(".accuracy") <= MAX_ENTITY_KEY_LENGTH


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert metric_name("a" * 300 + "b") != metric_name("a" * 300 + "c")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """A checkpoint as a hub has it that brings its own code."""
    folder = shutil.copytree(make_bundle(tmp_path) / "encoder", tmp_path / "encoder")
    code = f"from pathlib import Path\nPath({str(tmp_path / 'was run')!r}).touch()\n"
    for name in ("modeling_own.py", "configuration_own.py", "tokenization_own.py", "__init__.py"):
        (folder / name).write_text(code)
    (folder / "adapter_config.json").write_text(
        json.dumps({"auto_mapping": {"base_model_class": "modeling_own"}})
    )
    auto = {
        "AutoConfig": "configuration_own.Own",
        "AutoModel": "modeling_own.Own",
        "AutoTokenizer": "tokenization_own.Own",
    }
    more = {
        "auto_map": auto,
        "architectures": ["modeling_own.Own"],
        "_attn_implementation": "own/kernel",
        "attn_implementation": "own/kernel",
        "quantization_config": {"quant_method": "own"},
        "base_model_tp_plan": {"a": "b"},
    }
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | more))
    return folder


def test_a_checkpoint_that_brings_code_is_read_without_it(tmp_path: Path, remote: Path) -> None:
    plain = load_encoder(str(tmp_path / "bundle" / "encoder"), None, allow_pytorch_bin=False)
    assert load_encoder(str(remote), None, allow_pytorch_bin=False).fingerprint == plain.fingerprint
    assert not (tmp_path / "was run").exists()


def test_a_hub_checkpoint_that_brings_code_is_read_without_it(
    tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(remote, tmp_path / "hub" / "models--own--model" / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert load_encoder("own/model", commit, allow_pytorch_bin=False).dimensions == 16
    assert not (tmp_path / "was run").exists()
