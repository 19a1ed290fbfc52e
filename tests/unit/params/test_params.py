from pathlib import Path

import pytest
import yaml

from dnapair.errors import DnapairError
from dnapair.params import flatten, load_params

PARAMS = Path(__file__).parents[3] / "params.yaml"


def write(folder: Path, key: str, value: object) -> Path:
    content = yaml.safe_load(PARAMS.read_text())
    section = content
    *parents, last = key.split(".")
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_projects_own_settings_are_read_whole():
    params = load_params(PARAMS)
    flat: dict = {}
    for name, section in params:
        flat |= flatten(section, name)
    assert flat["train.epochs"] == 20
    assert flat["tune.space.dropout.low"] == 0.1
    assert flat["network.widths"] == [512, 256, 128]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.epoch", 3, r"train\.epoch: there is no such setting"),
        ("trian.epochs", 3, r"trian: there is no such setting"),
        ("train.epochs", 0, r"train\.epochs: .*greater than or equal to 1 \(given: 0\)"),
        ("train.epochs", "many", r"train\.epochs: .*integer"),
        ("train.learning_rate", -1, r"train\.learning_rate: .*greater than 0"),
        ("train.positive_weight", "heavy", r"train\.positive_weight"),
        ("network.dropout", 1.0, r"network\.dropout: .*less than 1"),
        ("network.widths", [], r"network\.widths: .*at least 1"),
        ("network.activation", "rleu", r"network\.activation: .*'relu'"),
        ("split.test", 0.95, r"split: validation \+ test = 1\.05 leaves nothing for train"),
        ("evaluate.folds", 1, r"evaluate\.folds: one fold would leave nothing to train on.*\(given: 1\)"),
        ("split.seed", 0, r"split\.seed: .*greater than or equal to 1"),
        (
            "encoder.untrained.heads",
            3,
            r"encoder\.untrained: hidden \(128\) is not a multiple of heads \(3\)",
        ),
        ("encoder.untrained.k", 7, r"encoder\.untrained\.k: .*less than or equal to 6"),
        ("encoder.pooling", "median", r"encoder\.pooling: .*'mean'"),
        (
            "tune.space.dropout",
            {"low": 0.5, "high": 0.1},
            r"tune\.space\.dropout: low \(0\.5\) is above high",
        ),
        ("embed.engine", "spark", r"embed\.engine: .*'local' or 'ray'"),
        ("embed.ray.address", "ray://head:10001", r"embed\.ray: address: .*ray start --address=HEAD:PORT"),
        ("embed.ray.actors", [4, 2], r"embed\.ray: actors: the least \(4\) is above the most \(2\)"),
        ("embed.ray.actors", 0, r"embed\.ray\.actors.*greater than or equal to 1 \(given: 0\)"),
        ("embed.ray.num_gpus", 1.5, r"embed\.ray: num_gpus \(1\.5\): above 1, Ray gives whole GPUs only"),
        ("watch.max_distance", 2, r"watch\.max_distance: .*less than or equal to 1 \(given: 2\)"),
        ("register.challenger", "champion", r"register: alias and challenger are both 'champion'"),
        ("data.ambiguous", "ignore", r"data\.ambiguous: .*'error'"),
    ],
)
def test_unknown_or_impossible_setting_is_named(tmp_path: Path, key: str, value: object, words: str):
    with pytest.raises(DnapairError, match=words):
        load_params(write(tmp_path, key, value))


def test_every_wrong_setting_is_listed_at_once(tmp_path: Path):
    path = write(tmp_path, "train.epochs", 0)
    path.write_text(path.read_text().replace("pooling: mean", "pooling: median"))
    with pytest.raises(DnapairError, match=r"(?s)encoder\.pooling.*train\.epochs"):
        load_params(path)


def test_missing_setting_is_named(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace("  clip_norm: 1.0", "  # nothing"))
    with pytest.raises(DnapairError, match=r"train\.clip_norm: missing"):
        load_params(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no settings"),
        (b"- a\n", "no settings"),
        (b"a: [", "not valid YAML"),
        (b"a: \xe9", "not valid YAML"),
    ],
)
def test_file_that_holds_no_settings_is_said(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(DnapairError, match=words):
        load_params(tmp_path / "params.yaml")


def test_missing_file_is_said(tmp_path: Path):
    with pytest.raises(DnapairError, match="top folder"):
        load_params(tmp_path / "params.yaml")


def test_yaml_that_would_run_code_is_refused(tmp_path: Path):
    (tmp_path / "params.yaml").write_text("data: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(DnapairError, match="not valid YAML"):
        load_params(tmp_path / "params.yaml")


def test_groups_that_are_drawn_must_be_named(tmp_path: Path):
    content = yaml.safe_load(PARAMS.read_text())
    content["split"] |= {"method": "grouped", "cross_pairs": "drop", "groups": []}
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DnapairError, match=r"split: cross_pairs: drop draws groups.*seq1 or seq2"):
        load_params(path)
