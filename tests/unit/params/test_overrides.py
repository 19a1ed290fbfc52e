"""Settings from the command line: told from words, and written into params.yaml, else left as it is."""

import re
import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides

from dnapair.errors import DnapairError
from dnapair.params import load_params
from dnapair.params.overrides import changed_settings, parse_words, write_settings
from dnapair.params.reading import parse_yaml, read_settings

OWN = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's own params.yaml."""
    shutil.copy(OWN, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "params.yaml"


def test_words_and_settings_are_told_apart():
    words, settings = parse_words(["prepare", "--train.epochs", "3", "--split.method=random", "embed"])
    assert words == ["prepare", "embed"]
    assert settings == {"train.epochs": "3", "split.method": "random"}
    with pytest.raises(DnapairError, match=r"--train\.epochs needs a value"):
        parse_words(["--train.epochs"])


def test_one_line_changes_and_back_again_none(project: Path):
    before = project.read_text()
    write_settings({"split.method": "random", "split.column": "null", "network.widths": "[8, 4]"})
    after = project.read_text()
    changed = [(a, b) for a, b in zip(before.splitlines(), after.splitlines(), strict=False) if a != b]
    assert changed[0][1] == "  method: random         # predefined | random | grouped"
    assert load_params().split.column is None
    assert load_params().network.widths == [8, 4]
    write_settings({"split.method": "predefined", "split.column": "split"})
    write_settings({"train.epochs": "7"})
    write_settings({"train.epochs": "20"})
    lines = set(before.splitlines()) - set(project.read_text().splitlines())
    # of the list that was given in another style
    assert {line.split()[0] for line in lines} <= {"widths:", "-"}


def test_a_list_in_a_line_stays_one_with_its_comment(project: Path):
    before = project.read_text()
    for value in ("[]", "[family]", "[genome1, genome2]"):
        write_settings({"split.groups": value})
        (line,) = [line for line in project.read_text().splitlines() if line.startswith("  groups: [")]
        assert line.split("#")[0].strip() == f"groups: {value}"
    lines = set(before.splitlines()) - set(project.read_text().splitlines())
    assert not [line for line in lines if "groups" in line]


@pytest.mark.parametrize("name", ["split.groups", "network.widths", "finetune.lora.targets", "train.seed"])
@pytest.mark.parametrize("rewritten", [False, True])
def test_a_list_is_another_or_none_after_dvc_wrote_the_file_in_its_style_too(
    project: Path, name: str, rewritten: bool
):
    if rewritten:
        # what `dvc exp run --set-param` does
        apply_overrides(str(project), ["train.epochs=3"])
    comments = read_comments(project)
    section, _, key = name.rpartition(".")
    for value in ("[]", "[a, b]", "[]", "null", "[a]", "[b, c]"):
        expected = read_settings()
        place = expected
        for part in section.split("."):
            place = place[part]
        place[key] = parse_yaml(value, "")
        write_settings({name: value})
        assert read_settings() == expected
        assert read_comments(project) == comments


def read_comments(project: Path) -> list[str]:
    return sorted(re.findall(r"#[^\n]*", project.read_text()))


def test_no_settings_leave_the_file_untouched(project: Path):
    before = project.stat().st_mtime_ns
    write_settings({})
    assert project.stat().st_mtime_ns == before


@pytest.mark.parametrize("key", ["train.madness", "madness", "train.epochs.more", "split.groups.0"])
def test_an_unknown_setting_is_an_error_and_changes_nothing(project: Path, key: str):
    before = project.read_bytes()
    with pytest.raises(DnapairError, match=r"params\.yaml has no such setting"):
        changed_settings({key: "1"})
    with pytest.raises(DnapairError, match=r"params\.yaml has no such setting"):
        write_settings({key: "1"})
    assert project.read_bytes() == before


def test_an_impossible_value_is_an_error_that_names_the_setting():
    with pytest.raises(DnapairError, match=r"train\.epochs"):
        changed_settings({"train.epochs": "-1"})


def test_a_tag_that_would_build_an_object_is_refused_before_anything_is_written(project: Path):
    project.write_text(project.read_text() + "more: !!python/object/apply:os.system ['touch built']\n")
    with pytest.raises(DnapairError, match="not valid YAML"):
        changed_settings({"train.epochs": "3"})
    write_settings({"train.epochs": "3"})
    assert not Path("built").exists()


def test_no_params_yaml_is_one_message(project: Path):
    project.unlink()
    with pytest.raises(DnapairError, match="Run dnapair in the project's top folder"):
        changed_settings({})
