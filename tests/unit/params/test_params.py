from pathlib import Path

import pytest
import yaml

from dnapair.errors import DnapairError
from dnapair.params import champion_address, find_params, flatten, load_params

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
        ("train.epoch", 3, r"train\.epoch: there is no such setting\. Did you mean train\.epochs\?"),
        ("trian.epochs", 3, r"trian: there is no such setting\. Did you mean train\?"),
        ("train.epochs", 0, r"train\.epochs: .*greater than or equal to 1 \(given: 0\)"),
        ("train.epochs", "many", r"train\.epochs: .*integer"),
        ("train.learning_rate", -1, r"train\.learning_rate: .*greater than 0"),
        (
            "train.positive_weight",
            "heavy",
            r"  train\.positive_weight: Input should be 'balanced', or a valid number, .*\(given: 'heavy'\)$",
        ),
        (
            "train.random_negatives",
            1000,
            r"  train\.random_negatives: .* should be 'auto', or less than or equal to 100 \(given: 1000\)$",
        ),
        ("network.symmetric", 3, r"  network\.symmetric: Input should be 'auto', or a valid boolean"),
        ("data.pairs", ["a.csv", 1], r"  data\.pairs\.1: Input should be a valid string: put it into quotes"),
        ("network.dropout", 1.0, r"network\.dropout: .*less than 1"),
        ("network.widths", [], r"network\.widths: .*at least 1"),
        ("network.activation", "rleu", r"network\.activation: .*'relu'"),
        ("split.test", 0.95, r"split: validation \+ test = 1\.05 leaves nothing for train"),
        ("evaluate.folds", 1, r"evaluate\.folds: one fold would leave nothing to train on.*\(given: 1\)"),
        ("finetune.contrastive.weight", -1, r"finetune\.contrastive\.weight: .*greater than or equal to 0"),
        (
            "finetune.contrastive.temperature",
            0,
            r"contrastive\.temperature: .*greater than or equal to 0\.01",
        ),
        (
            "finetune.contrastive.hard_negatives",
            65,
            r"contrastive\.hard_negatives: .*less than or equal to 64",
        ),
        ("finetune.search.method", ["auto"], r"finetune\.search\.method\.0: .*'full' or 'lora'"),
        (
            "finetune.search.learning_rate",
            [2],
            r"finetune\.search\.learning_rate\.0: .*less than or equal to 1",
        ),
        ("finetune.search.steps", [100], r"finetune: search lists what to try, and method is none"),
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
        (
            "embed.ray.actors",
            0,
            r"embed\.ray\.actors: .*greater than or equal to 1, or a valid tuple \(given: 0\)",
        ),
        ("embed.ray.num_gpus", 1.5, r"embed\.ray: num_gpus \(1\.5\): above 1, Ray gives whole GPUs only"),
        ("watch.max_distance", 2, r"watch\.max_distance: .*less than or equal to 1 \(given: 2\)"),
        ("register.challenger", "champion", r"register: alias and challenger are both 'champion'"),
        ("register.challenger", "Champion", r"register: alias and challenger are both 'champion'"),
        ("register.alias", "latest", r"register\.alias: MLflow keeps latest, .*Choose another .*'latest'"),
        ("register.challenger", "LaTest", r"register\.challenger: MLflow keeps latest"),
        ("register.alias", "v2", r"register\.alias: MLflow keeps latest, v1, v2 and so on"),
        ("register.alias", "V007", r"register\.alias: MLflow keeps latest, v1, v2 and so on"),
        ("register.alias", "archived", r"register\.alias: versions have a tag of this name already"),
        ("register.alias", "2nd", r"register\.alias: .*begins with a letter"),
        ("register.alias", "the best", r"register\.alias: .*letters, digits, - and _"),
        ("register.alias", "best\n", r"register\.alias: .*letters, digits, - and _"),
        ("register.alias", 2, r"register\.alias: .*string"),
        ("register.name", "a/b", r"register\.name: .*MLflow takes no / and no :.*'a/b'"),
        ("register.name", "a:b", r"register\.name: .*MLflow takes no / and no :"),
        ("register.name", "", r"register\.name: .*begins with a letter, digit or _"),
        ("register.name", "..", r"register\.name: .*begins with a letter, digit or _"),
        ("register.name", "it's", r"register\.name: a registered model's name is"),
        ("register.name", "dnapair ", r"register\.name: .*ends with no space"),
        ("data.ambiguous", "ignore", r"data\.ambiguous: .*'error'"),
        ("data.columns.label", ["label"], r"data\.columns\.label: .*string: one, without brackets \(given"),
        ("data.columns.seq1", 1, r"data\.columns\.seq1: .*string: put it into quotes \(given: 1\)"),
        ("split.column", True, r"split\.column: .*string: put it into quotes \(given: True\)"),
        # what "C:\new\table" means in YAML
        ("data.path", "C:\new\table", r"data\.path: holds a line break.*single ones: 'C:\\new'"),
        ("encoder.source", "my\tencoder", r"encoder\.source: holds a line break, a tab"),
        ("data.path", "", r"data\.path: .*at least 1 character"),
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
    ("changes", "words"),
    [
        (
            {"method": "full", "steps": 9, "search.steps": [0], "search.method": ["lora"]},
            "method: lora with steps: 0",
        ),
        ({"method": "lora", "steps": 9, "search.steps": [5, 0]}, "method: lora with steps: 0"),
        ({"method": "auto", "search.method": ["full", "lora"]}, "method: lora with steps: 0"),
        (
            {"method": "full", "steps": 9, "bag_epochs": 0, "search.steps": [0]},
            "search would try bag_epochs: 0 with steps: 0, which is nothing to do",
        ),
    ],
)
def test_a_search_that_has_nothing_to_do_for_a_try_is_said(
    tmp_path: Path, changes: dict[str, object], words: str
):
    content = yaml.safe_load(PARAMS.read_text())
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = content["finetune"]
        for name in sections:
            section = section[name]
        section[last] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DnapairError, match=words):
        load_params(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no settings"),
        (b"- a\n", "no settings"),
        (b"a: [", "not valid YAML"),
        (b"a: \xe9", "not valid YAML"),
        (b"a:\n\tb: 1", r"params\.yaml, line 2, column 1, is not valid YAML: .*Indent with spaces"),
        (b'a: "C:\\data"', r"line 1, column 8, .*use single quotes, or none"),
        (b"a: @home", r"line 1, column 4, .*Put the value into quotes"),
        (b"a: *.csv", r"line 1, column 5, .*Put the value into quotes"),
        (b"a: b: c", r"line 1, column 5, .*into quotes; indent all settings of a section alike"),
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


@pytest.mark.parametrize(
    "word", ["on", "off", "yes", "no", "Y", "1e3", "012", "1_000", "12:30", "2001-01-01", "0o7", "C:\\data"]
)
def test_a_word_that_older_yaml_takes_for_something_else_is_that_word(tmp_path: Path, word: str):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace("positive_label: null", f"positive_label: {word}"))
    assert load_params(path).data.positive_label == word


@pytest.mark.parametrize(
    ("written", "value"), [("true", True), ("1", 1), ("-1", -1), ("'1'", "1"), ("0x1F", 31)]
)
def test_plain_values_are_what_they_look_like(tmp_path: Path, written: str, value: object):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace("positive_label: null", f"positive_label: {written}"))
    read = load_params(path).data.positive_label
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("line", "written", "key", "value"),
    [
        ("normalize: true", "normalize: off", "encoder.normalize", False),
        ("header: auto", "header: yes", "data.header", True),
        ("  epochs: 20", "  epochs: 012", "train.epochs", 12),
        ("learning_rate: 0.0003", "learning_rate: 3e-4", "train.learning_rate", 0.0003),
    ],
)
def test_settings_that_want_no_word_take_these_too(
    tmp_path: Path, line: str, written: str, key: str, value: object
):
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.read_text().replace(line, written, 1))
    section, name = key.split(".")
    assert getattr(getattr(load_params(path), section), name) == value


def test_the_champion_is_called_as_the_folders_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert champion_address() == "models:/dnapair@champion"
    # of another tool that DVC runs
    (tmp_path / "params.yaml").write_text("train: {epochs: 3}\n")
    assert champion_address() == "models:/dnapair@champion"
    assert find_params() is None
    write(tmp_path, "register.name", "small RNAs")
    assert champion_address() == "models:/small RNAs@champion"
    write(tmp_path, "register.alias", "v20-best")
    assert champion_address() == "models:/dnapair@v20-best"
    write(tmp_path, "register.alias", "latest")
    with pytest.raises(DnapairError, match=r"register\.alias: MLflow keeps latest"):
        champion_address()
