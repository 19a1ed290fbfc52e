"""A message's remedy is a promise: each is followed, word for word, in the state that brings its message."""

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.messages import SET, collect
from tests.pipeline.conftest import Project, _move_record, copy_project, write_small_data
from tests.pipeline.remedies import IN_A_ROW, NOT_FOLLOWED, STATES, State
from tests.pipeline.states import OWN


def test_every_message_with_a_remedy_has_a_state_or_a_reason():
    followed = [
        state.words for row in (*((one,) for one in STATES.values()), *IN_A_ROW.values()) for state in row
    ]
    listed = [words for group in NOT_FOLLOWED.values() for words in group]
    messages = collect()
    unlisted = [
        f"{message.place}: {message.text}"
        for message in messages
        if not any(words in message.text for words in [*followed, *listed])
    ]
    assert not unlisted, "give these a state or a reason in remedies.py:\n" + "\n".join(unlisted)
    gone = [words for words in [*followed, *listed] if not any(words in one.text for one in messages)]
    assert not gone, f"no message has these words any more: {gone}"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with imported data, scaled and committed."""
    project = copy_project(tmp_path_factory.mktemp("remedies") / "project")
    write_small_data(project.root.parent / OWN, genomes=20)
    (project.root.parent / OWN / "readme.md").write_text("Where these come from.\n")
    project.commit("No data yet")
    project.run("dnapair", "use", f"{project.root.parent}/{OWN}", "--split.method", "predefined")
    project.commit("Own data")
    project.run("dvc", "repro", "scale")
    project.commit("Scaled")
    shutil.copytree(project.root, project.root.with_name("kept"), symlinks=True)
    return project


@pytest.fixture(autouse=True)
def as_it_was(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each state is made in the project as it was."""
    yield
    if "project" in request.fixturenames:
        project = request.getfixturevalue("project")
        shutil.rmtree(project.root)
        shutil.copytree(project.root.with_name("kept"), project.root, symlinks=True)


def shown(words: str) -> str:
    """A regular expression for words of the code in what was printed."""
    return ".*".join(re.escape(part) for part in words.split("{}"))


@pytest.mark.slow
@pytest.mark.parametrize("name", STATES)
def test_what_a_message_says_mends_what_it_complains_of(project: Project, name: str):
    state = STATES[name]
    printed = complaint(project, state)
    if state.remedy is None:
        choices = [(key, value) for key, *values in SET.findall(printed) for value in values if value]
        assert choices, printed
        for key, value in choices:
            project.set({key: yaml.safe_load(value)})
            project.run(*state.command.split())
        return
    follow(project, commands(state, printed))
    project.run(*state.command.split())


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_A_ROW)
def test_what_messages_say_mends_a_finished_pipeline(finished: Project, name: str, tmp_path: Path):
    project = Project(shutil.copytree(finished.root, tmp_path / "project", symlinks=True))
    _move_record(project.root / "mlflow.db", finished.root, project.root)
    remedies: dict[str, None] = {}
    for state in IN_A_ROW[name]:
        remedies |= dict.fromkeys(commands(state, complaint(project, state)))
    printed = follow(project, list(remedies))
    for state in IN_A_ROW[name]:
        assert state.then in printed
    for command in dict.fromkeys(state.command for state in IN_A_ROW[name]):
        project.run(*command.split())


def complaint(project: Project, state: State) -> str:
    """Bring about a state, and return what its command prints."""
    state.make(project)
    printed = project.run(*state.command.split(), fails=True)
    assert re.search(shown(state.words), printed), printed
    assert "Traceback" not in printed
    return printed


def commands(state: State, printed: str) -> tuple[str, ...]:
    """Take the remedy's commands out of what was printed."""
    found = re.search(state.remedy or "", printed)
    assert found, printed
    return found.groups()


def follow(project: Project, remedies: Iterable[str]) -> str:
    """Run commands as they are written, but for what stands for a user's own; return what they printed."""
    printed = ""
    for remedy in remedies:
        version = (re.findall(r"models:/dnapair/(\d+)", printed) or [""])[-1]
        for word, own in (("WHERE", f"../{OWN}"), ("PATH", f"../{OWN}"), ("VERSION", version)):
            remedy = re.sub(rf"\b{word}\b", own, remedy)
        printed += project.run("bash", "-euc", remedy)
    return printed
