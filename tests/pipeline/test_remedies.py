"""A message's remedy is a promise: each is followed, word for word, in the state that brings its message."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from typing import NamedTuple

import pytest
import yaml

from tests.messages import SET, collect
from tests.pipeline.conftest import Project, copy_project, write_small_data
from tests.pipeline.stage_driver import flipped
from tests.small_models import small_encoder

OWN = "own"
"""The folder of a user's own data, beside the project."""


class State(NamedTuple):
    """What brings a message, and what it promises.

    Attributes
    ----------
    words : str
        Of the message: they find it in the code, and in what was printed.
    make : callable
        Bring about the state in a project.
    command : str
        What ends with the message, and does not once the remedy was followed.
    remedy : str or None
        A regular expression, whose groups are the commands, in their order, in what was printed; None: a
        setting to set, to each of its values in turn.
    """

    words: str
    make: Callable[[Project], object]
    command: str
    remedy: str | None = None


def table(*rows: str) -> Callable[[Project], None]:
    """A pair table of one's own that data.path names, good but for these rows."""

    def make(project: Project) -> None:
        ends = ["".join(letters) for letters in product("ACGT", repeat=3)]
        splits = ["train"] * 32 + ["val"] * 16 + ["test"] * 16
        good = [
            f"ACGTACGTAC{end},TTGACCATGG{end},{place % 2},{split}"
            for place, (end, split) in enumerate(zip(ends, splits, strict=True))
        ]
        folder = project.root / "mine"
        folder.mkdir()
        (folder / "pairs.csv").write_text("\n".join(["seq1,seq2,label,split", *good, *rows]))
        project.set({"data.path": "mine"})

    return make


def damage(path: str) -> Callable[[Project], object]:
    """Flip a bit of a file; its time and size stay."""
    return lambda project: flipped(project.root / path).__enter__()


def cut(path: str) -> Callable[[Project], object]:
    return lambda project: os.truncate(project.root / path, 10)


def take_away(*paths: str) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        for path in (project.root / one for one in paths):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return make


def both(*steps: Callable[[Project], object]) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        for step in steps:
            step(project)

    return make


def in_table(folder: str, change: Callable[[str], str], *, time: bool = True) -> Callable[[Project], None]:
    """Change a pair table as a user would, a link to DVC's cache or not; its time changes too, or not."""

    def make(project: Project) -> None:
        file = project.root / folder / "pairs.csv"
        text, times = file.read_text(), file.stat()
        file.unlink()
        file.write_text(change(text))
        if not time:
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    return make


def other_order(text: str) -> str:
    """Put the last two lines the other way round."""
    *lines, second, last = text.splitlines()
    return "\n".join([*lines, last, second]) + ("\n" if text.endswith("\n") else "")


def checkpoint_in_bin(project: Project) -> None:
    import torch
    from safetensors.torch import load_file

    folder = project.root / "encoders/bin"
    folder.mkdir()
    small_encoder().save(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    project.set({"encoder.source": "encoders/bin"})


def shared(project: Project) -> None:
    """Data that came from a machine that is gone, and lie in a remote."""
    remote = project.root.parent / "remote"
    project.run("dvc", "remote", "add", "-d", "storage", str(remote))
    project.run("dvc", "push", "data.dvc")


LOST = take_away("data", ".dvc/cache", "artifacts")


def from_elsewhere(project: Project) -> None:
    shutil.copytree(project.root.parent / OWN, project.root.parent / "gone")
    project.run("dnapair", "use", "../gone")


def lose_origin(project: Project) -> None:
    shutil.rmtree(project.root.parent / "gone")


LAST = r": ([^:\n]+)\n?$"
PREPARE, SCALE = "dnapair prepare", "dnapair scale"

STATES = {
    "a letter that is no base": State(
        "have letters other than A, C, G and T", table("ACGTNCGTACAA,TTGACCATGGAA,1,train"), PREPARE
    ),
    "both labels": State(
        "have both labels",
        table("AAGTACGTACAA,TTGACCATGGAA,1,train", "AAGTACGTACAA,TTGACCATGGAA,0,train"),
        PREPARE,
    ),
    "an unknown split": State(
        "in no split that dnapair knows", table("AAGTACGTACAA,TTGACCATGGAA,1,holdout"), PREPARE
    ),
    "no test pairs": State(
        "No pair is in the test split",
        both(table(), in_table("mine", lambda text: text.replace(",test", ",train"))),
        PREPARE,
    ),
    "no data there": State(
        "Name a folder or a file, or have DVC bring one",
        lambda project: project.set({"data.path": "nowhere"}),
        "dnapair locate data",
        r"\((dnapair use .*?)\)",
    ),
    "no data there, without DVC": State(
        "Name a folder or a file, or bring one",
        take_away("data", "data.dvc"),
        PREPARE,
        r"`(dnapair use .*?)`",
    ),
    "a flipped bit in a copy": State(
        "have all back", damage("data/sequences.fasta"), PREPARE, r"\((rm -r data)\).*(dvc checkout data.dvc)"
    ),
    "a flipped bit that was meant": State(
        "it is not what", in_table("data", other_order, time=False), PREPARE, r"(touch .*?)\. If not"
    ),
    "a file that was taken away": State(
        "it is not what", take_away("data/readme.md"), PREPARE, r"(dvc commit .*?)\. If not"
    ),
    "a copy that is lost": State(
        "does not bring a copy",
        take_away("data"),
        "dnapair run prepare",
        r"DVC has them: (dvc checkout data.dvc)",
    ),
    "a colleague's clone, the origin at hand": State(
        "as it is now", LOST, "dnapair run prepare", r": (dvc update data.dvc)"
    ),
    "a colleague's clone, a remote": State(
        "The remote may have them",
        both(from_elsewhere, shared, LOST, lose_origin),
        "dnapair run prepare",
        r": (dvc pull data.dvc)\.",
    ),
    "a colleague's clone, a copy elsewhere": State(
        "which this machine does not have",
        both(from_elsewhere, LOST, lose_origin),
        "dnapair run prepare",
        r"(dnapair use WHERE)",
    ),
    "use: changed data": State(
        "the changes would be lost", in_table("data", other_order), f"dnapair use ../{OWN}", LAST
    ),
    "use: data that the cache lacks": State(
        "cache does not have what lies in", take_away(".dvc/cache"), f"dnapair use ../{OWN}", LAST
    ),
    "use: data that DVC does not know": State(
        "DVC does not know these data",
        take_away("data.dvc"),
        f"dnapair use ../{OWN}",
        r"\((mv data mydata)\).*\((dnapair use mydata)\)",
    ),
    "use: a pointer in conflict": State(
        "so it is not known whether",
        lambda project: (project.root / "data.dvc").write_text("<<<<<<< HEAD\n"),
        f"dnapair use ../{OWN}",
        r"\((git checkout data.dvc)\)",
    ),
    "a pointer in conflict": State(
        "Put back what git has",
        lambda project: (project.root / "data.dvc").write_text("<<<<<<< HEAD\n"),
        PREPARE,
        LAST,
    ),
    "an encoder in a .bin": State("a format that can carry code", checkpoint_in_bin, "dnapair finetune"),
    "a shard that is cut": State(
        "its SHA-256 is not the manifest's",
        cut("artifacts/embeddings/shard-00000.npy"),
        SCALE,
        r"(dvc repro --force embed) \(",
    ),
    "a shard that is gone": State(
        "is missing. Make it again: dvc repro --force",
        take_away("artifacts/interactions/shard-00000.npy"),
        SCALE,
        LAST,
    ),
    "a manifest that is gone": State(
        "is missing. Make it first: dvc repro {}",
        take_away("artifacts/embeddings/manifest.json"),
        SCALE,
        LAST,
    ),
    "a damaged manifest": State(
        "is damaged. Delete {} and run",
        cut("artifacts/embeddings/manifest.json"),
        SCALE,
        LAST,
    ),
    "a flipped bit in what prepare wrote": State(
        "Make it again: dvc repro --force --single-item",
        damage("artifacts/dataset/pairs.parquet"),
        SCALE,
        LAST,
    ),
    "nothing scaled": State(
        "is missing. Make it first: dvc repro scale",
        take_away("artifacts/normalized"),
        "dnapair export",
        LAST,
    ),
}

NOT_FOLLOWED = {
    "it is no complaint; test_export.py scores in both ways": ["Score with it where dnapair is installed"],
    "needs a GPU, Ray, or another processor; test_ray.py and test_embedder.py bring these messages": [
        "embed.engine: ray needs Ray",
        "embed.ray.address: {}: Ray can't be had",
        "embed.ray.address: nothing answers",
        "embed.ray: {} actor(s)",
        "on a machine of the cluster, not over ray://",
    ],
    "it names a step of the registry; test_lifecycle.py takes these steps": [
        "The gate refused version",
        "to take back: dnapair models promote",
        "Choose one by hand: dnapair models promote",
        "so it can't be archived",
        "it is archived (dnapair models restore",
        "it was champion and was taken back",
        "`dnapair run` makes one. Its name is set",
        "is archived. Take it out again first",
        "`dnapair run` makes and registers one",
        "earlier: dnapair models history",
        "Register it again (dnapair register)",
    ],
    "test_absence.py follows these": [
        "has no versions. `dnapair run` makes one",
        "dnapair models promote {}",
        "dnapair models restore {} && {}",
    ],
    "it is advice, and no error stands before it": [
        "Next: dvc repro, or dnapair run",
        "again with another setting",
        "The way back: dnapair use",
        "would do: nothing was changed",
        "experiment {}: dvc exp show",
        "Use `dvc push`",
        "(data itself is brought by the first `dvc repro`)",
        "`make server`, then http://",
        "Its pages list those there are",
        "that reaches the same tracking store sends them",
        "Name one folder, file or address: dnapair use PATH",
        "Bring data: dnapair use WHERE",
    ],
    "the words before it have a state in the table": ["DVC has them: dvc checkout"],
    "it needs a whole pipeline: the stage's name is checked alone": [
        "The stage that writes it comes first: dvc repro",
        "was not fitted on train alone",
        "Train again: dvc repro --force train",
        "does not fit the network that network.json describes",
        "The threshold of the {} network",
        "The network was trained on interactions of other settings",
        "so it is not registered. Run: dvc repro --force evaluate",
        "Make them again: dvc repro -f scale",
        "is no scaler, or is damaged",
        "does not tell the encoder's k-mers and windows",
        "This is no layout of interactions",
        "is damaged. Make it again: dvc repro -f scale",
        "is damaged, or no JSON object",
        "is damaged, or no Parquet file of dnapair's",
        "is no matrix: {}",
        "is missing or truncated. Make it again: dvc repro -f scale",
        "is no shard: {}",
        "they are from different data. Run the whole pipeline",
        "pretraining is measured on the validation pairs",
        "would test pairs of train, whose labels",
    ],
    "the setting's value is checked alone": [
        "et split.method: grouped",
        "so validation ({}) and test ({}) can't be cut off",
        "split.cross_pairs: drop left out",
        "or set split.method to random",
        "Set encoder.normalize to true",
        "names no genome: nothing in its header fits",
        "learns the mean over a sequence's k-mers",
    ],
    "test_machines.py and test_store.py follow it": [
        "This folder is not in a git repository, and",
        "has no locks, which dvc needs",
        "with --temp or --queue works in a copy",
        "mlruns holds records of an earlier MLflow",
        "was deleted in the MLflow tracking store",
        "This folder can't be written to",
    ],
    "it asks for another installation": [
        "install it: pip install",
        "This folder belongs to another user",
        "Packages: {}. Run: pip install",
        "git lfs pull",
        "`dvc exp run` needs one",
        "data.dvc is missing: bring data with",
    ],
}
"""Messages whose remedies no state follows, by the reason."""


def test_every_message_with_a_remedy_has_a_state_or_a_reason():
    followed = [state.words for state in STATES.values()]
    listed = [words for group in NOT_FOLLOWED.values() for words in group]
    messages = collect()
    unlisted = [
        f"{message.place}: {message.text}"
        for message in messages
        if not any(words in message.text for words in [*followed, *listed])
    ]
    assert not unlisted, "give these a state in STATES, or a reason in NOT_FOLLOWED:\n" + "\n".join(unlisted)
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
    state.make(project)
    printed = project.run(*state.command.split(), fails=True)
    assert re.search(shown(state.words), printed), printed
    assert "Traceback" not in printed
    if state.remedy is None:
        choices = [(key, value) for key, *values in SET.findall(printed) for value in values if value]
        assert choices, printed
        for key, value in choices:
            project.set({key: yaml.safe_load(value)})
            project.run(*state.command.split())
        return
    commands = re.search(state.remedy, printed)
    assert commands, printed
    for command in commands.groups():
        project.run("bash", "-euc", command.replace("WHERE", f"../{OWN}"))
    project.run(*state.command.split())
