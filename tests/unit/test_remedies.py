"""What messages tell users to type and to set exists: verbs, stages, options and settings."""

import re

import pytest
import typer
import yaml

from dnapair.cli import app
from dnapair.params import check_params
from dnapair.params.overrides import changed_settings
from tests.messages import KEY, ROOT, collect

MESSAGES = collect()
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
FILES = {"py", "dvc", "csv", "tsv", "npz", "json", "html"}


def verbs() -> dict[str, set[str]]:
    """The command line's verbs, a group's own too, those of a group after its name, and their options."""
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():
        group = {f"{name} {sub}": one for sub, one in getattr(command, "commands", {}).items()}
        for verb, one in {name: command, **group}.items():
            found[verb] = {option for parameter in one.params for option in parameter.opts}
    return found


def of(tool: str) -> list[tuple[str, str]]:
    return [(m.place, c) for m in MESSAGES for c in m.commands if c.startswith(f"{tool} ")]


@pytest.mark.parametrize(("place", "command"), of("dnapair"))
def test_verbs_and_options_exist(place: str, command: str):
    known = verbs()
    words = command.split()[1:]
    verb = next(name for name in (" ".join(words[:2]), words[0].rstrip(".")) if name in known)
    # a setting is any verb's that takes settings
    options = {word for word in words if word.startswith("--") and "." not in word}
    assert options <= known[verb], f"{place}: {command}"


@pytest.mark.parametrize(("place", "command"), of("dvc"))
def test_stages_exist(place: str, command: str):
    verb, *words = command.split()[1:]
    if verb != "repro":
        assert verb in {"checkout", "commit", "config", "exp", "pull", "push", "remote", "update"}, (
            f"{place}: {command}"
        )
        return
    options = {word for word in words if word.startswith("-")}
    assert options <= {"--force", "-f", "--single-item"}, f"{place}: {command}"
    targets = [word.rstrip(".") for word in words if word not in options]
    # words may follow: what is read as a target by the user is the first
    assert not targets or targets[0] == "{}" or targets[0] in STAGES, f"{place}: {command}"


@pytest.mark.parametrize(
    ("place", "key", "value"),
    [(m.place, key, value) for m in MESSAGES for key, value in m.settings],
)
def test_settings_may_be_what_messages_say(place: str, key: str, value: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    check_params(changed_settings({key: value}), place)


def test_every_setting_that_a_message_names_exists():
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    unknown = []
    for message in MESSAGES:
        for key in re.findall(KEY, message.text):
            section = settings
            for name in key.split("."):
                section = section.get(name) if isinstance(section, dict) else None
                if section is None and name not in FILES and not null_at(settings, key):
                    unknown.append((message.place, key))
                    break
    assert not unknown


def null_at(settings: dict, key: str) -> bool:
    *path, last = key.split(".")
    for name in path:
        settings = settings.get(name) or {}
    return last in settings


EXAMPLE = re.compile(rf"(?:-P|-S|--set-param) ({KEY})=(\S+)")
DOCUMENTS = ["README.md", "params.yaml", "src/dnapair/commands/summary.py"]
DOCUMENTS += sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("file", DOCUMENTS)
def test_examples_of_settings_change_something(file: str):
    """One that sets what is set already would run nothing."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in dict.fromkeys(EXAMPLE.findall((ROOT / file).read_text())):
        *path, last = key.split(".")
        section = settings
        for name in path:
            section = section[name]
        given = yaml.safe_load(value)
        assert section[last] != given, f"{file}: {key} is {value} already"
        section[last] = given
