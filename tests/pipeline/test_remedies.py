"""A message's remedy is a promise: each is followed, word for word, in the state that brings its message."""

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml
from safetensors import safe_open
from safetensors.numpy import save_file

from dnapair.storage.files import SUMS, write_sums
from tests.messages import SET, collect
from tests.pipeline.conftest import Project, _move_record, copy_project, write_small_data
from tests.pipeline.stage_driver import flipped
from tests.small_models import SETTINGS, make_bundle, renew_manifest, small_encoder

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
    then : str
        What the remedy's commands say besides.
    """

    words: str
    make: Callable[[Project], object]
    command: str
    remedy: str | None = None
    then: str = ""


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


def cut_rows(path: str) -> Callable[[Project], None]:
    """Take the last bytes of a matrix away."""

    def make(project: Project) -> None:
        file = project.root / path
        os.truncate(file, file.stat().st_size - 4)
        sums(project, path)

    return make


def cut(path: str) -> Callable[[Project], object]:
    return lambda project: os.truncate(project.root / path, 10)


def settings(**values: object) -> Callable[[Project], None]:
    """Set settings, whose names have two underscores for a point."""
    return lambda project: project.set({key.replace("__", "."): value for key, value in values.items()})


def garbage(path: str) -> Callable[[Project], None]:
    """Write what cannot be read, and hashes that fit, as an earlier dnapair or another program may have."""

    def make(project: Project) -> None:
        (project.root / path).write_bytes(b"\x93nothing")
        sums(project, path)

    return make


def sums(project: Project, path: str) -> None:
    folder = (project.root / path).parent
    if (folder / SUMS).is_file():
        write_sums(folder)


def in_json(path: str, *keys: str, value: object) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        file = project.root / path
        content = place = json.loads(file.read_text())
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        file.write_text(json.dumps(content))
        sums(project, path)

    return make


def in_tensors(path: str, change: Callable[[dict], None]) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        with safe_open(project.root / path, "np") as file:
            tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        change(tensors)
        save_file(tensors, project.root / path, metadata)
        sums(project, path)

    return make


def wider(scaler: dict) -> None:
    scaler["minimum"] = scaler["minimum"] - 1


def prepared_by_hand(genomes: int) -> Callable[[Project], None]:
    """Other data in artifacts/dataset than all that follows was made of, and the settings as before."""

    def make(project: Project) -> None:
        before = (project.root / "params.yaml").read_bytes()
        write_small_data(project.root / f"other{genomes}", genomes=genomes)
        project.set({"data.path": f"other{genomes}"})
        project.run("dnapair", "prepare")
        (project.root / "params.yaml").write_bytes(before)

    return make


def in_twos(project: Project) -> None:
    """Unrelated pairs are of two genomes that have no others: drawn one by one, these part."""
    ends = ("".join(letters) for letters in product("ACGT", repeat=4))
    rows = [
        f"ACGTACGTAC{next(ends)},TTGACCATGG{next(ends)},{label},a{genome},{'ba'[label]}{genome}"
        for genome in range(16)
        for label in (0, 1, 0, 1)
    ]
    (project.root / "mine").mkdir()
    (project.root / "mine/pairs.csv").write_text("\n".join(["seq1,seq2,label,genome1,genome2", *rows]))
    project.set({"data.path": "mine", "split.method": "grouped", "split.cross_pairs": "drop"})


def huge_encoder(project: Project) -> None:
    folder = project.root / "encoders/huge"
    folder.mkdir()
    encoder = small_encoder()
    weights = {name: values * (1e6 if "LayerNorm" in name else 1) for name, values in encoder.weights.items()}
    encoder._replace(weights=weights).save(folder)
    project.set({"encoder.source": "encoders/huge", "encoder.normalize": False})
    project.run("dnapair", "finetune")


def finetuned(project: Project) -> None:
    project.set({"finetune.method": "full", "finetune.bag_epochs": 1, "evaluate.folds": 2})
    project.run("dnapair", "finetune")


def uncommitted(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    for words in (["init", "-q"], ["config", "user.name", "A"], ["config", "user.email", "a@b.c"]):
        project.run("git", *words)


def earlier_champion(project: Project) -> None:
    """A champion of an earlier dnapair, of other pairs, that can't embed anything now."""
    folder = project.root.parent / f"{project.root.name}-earlier"
    bundle = make_bundle(folder, watched=False, settings=SETTINGS._replace(normalize=False))
    with safe_open(bundle / "encoder/model.safetensors", "np") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    huge = {name: values * (1e6 if "LayerNorm" in name else 1) for name, values in tensors.items()}
    save_file(huge, bundle / "encoder/model.safetensors", metadata)
    renew_manifest(bundle)
    with warnings.catch_warnings():
        # of MLflow's own code
        warnings.simplefilter("default")
        import mlflow

        from dnapair.registry.version_tags import DATA_TAG
        from dnapair.registry.versions import log_pair_model

        mlflow.set_tracking_uri(project.tracking_uri)
        pairs = pd.DataFrame({"seq1": ["ACGTACGTAC"], "seq2": ["TTGACCATGG"]})
        experiment = mlflow.MlflowClient().search_experiments()[0].experiment_id
        with mlflow.start_run(experiment_id=experiment):
            log_pair_model("dnapair", bundle, "earlier", pairs, {DATA_TAG: "f" * 64}, "")
    project.run("dnapair", "models", "promote", "2")


def cut_champion(project: Project) -> None:
    (weights,) = (path for path in (project.root / "mlruns").rglob("weights.safetensors") if is_bundle(path))
    os.truncate(weights, 100)


def is_bundle(path: Path) -> bool:
    return (path.parent / "manifest.json").is_file()


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
PREPARE, SCALE, VALIDATE = "dnapair prepare", "dnapair scale", "dnapair validate"
GROUPED = settings(
    split__method="grouped", split__groups=["genome1", "genome2"], split__validation=0.3, split__test=0.3
)
ACROSS = "g0f0,g13f0,0,g0,g13,train\ng0f1,g17f0,0,g0,g17,train"
OF_TABLE = "data/pairs.csv --sequences data/sequences.fasta"

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
        r"(dvc repro --force --single-item embed) \(",
    ),
    "a shard that is gone": State(
        "is missing. Make it again: dvc repro --force --single-item",
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
    "groups that hang together": State(
        "so validation ({}) and test ({}) can't be cut off",
        both(GROUPED, in_table("data", lambda text: f"{text}\n{ACROSS}")),
        PREPARE,
    ),
    "groups drawn one by one": State("split.cross_pairs: drop left out", in_twos, PREPARE),
    "train of one label": State(
        "Name more pairs train in the data",
        both(table(), in_table("mine", lambda text: text.replace(",0,train", ",1,train"))),
        PREPARE,
    ),
    "an encoder without a mean": State(
        "learns the mean over a sequence's k-mers",
        settings(finetune__method="full", finetune__bag_epochs=1, encoder__pooling="cls"),
        "dnapair finetune",
    ),
    "an embedding beyond float16": State("Set encoder.normalize to true", huge_encoder, "dnapair embed"),
    "folds of what the encoder learnt": State(
        "would test pairs of train, whose labels", finetuned, "dnapair crossvalidate"
    ),
    "no pointer": State(
        "data.dvc is missing: bring data with",
        take_away("data", "data.dvc"),
        "dnapair doctor",
        r"`(dnapair use PATH)`",
    ),
    "no commit": State(
        "`dvc exp run` needs one. Make it", uncommitted, "dnapair doctor", r"Make it: (git init.*)\n"
    ),
    "nothing scaled": State(
        "is missing. Make it first: dvc repro scale",
        take_away("artifacts/normalized"),
        "dnapair export",
        LAST,
    ),
}

TRAIN = r"(dvc repro --force --single-item train)\n"
AGAIN = r"again: (dvc repro --force --single-item scale)\b"
BACK = r"Make it again: (rm .*)\n"
FROM_THE_START = r"Run the whole pipeline: (dvc repro)\n"

IN_A_ROW = {
    "what scale wrote": (
        State(
            "was not fitted on train alone",
            in_tensors("artifacts/normalized/scaler.safetensors", wider),
            VALIDATE,
            AGAIN,
        ),
        State(
            "is damaged. Make it again: dvc repro --force --single-item scale",
            in_json("artifacts/normalized/interactions.json", "columns", value=[-1]),
            VALIDATE,
            LAST,
        ),
        State(
            "is missing or truncated. Make it again",
            cut_rows("artifacts/normalized/interactions.npy"),
            VALIDATE,
            LAST,
        ),
        State(
            "is no scaler, or is damaged", garbage("artifacts/normalized/scaler.safetensors"), VALIDATE, LAST
        ),
        State("is no matrix: {}", garbage("artifacts/normalized/embeddings.npy"), VALIDATE, LAST),
    ),
    "what train wrote": (
        State(
            "The threshold of the {} network",
            in_json("artifacts/models/torch/training.json", "threshold", value=0.123),
            "dnapair evaluate torch",
            TRAIN,
        ),
        State(
            "does not fit the network that network.json describes",
            in_tensors("artifacts/models/torch/weights.safetensors", lambda weights: weights.popitem()),
            "dnapair score torch",
            TRAIN,
        ),
        State(
            "can't be read: {}. Train again",
            garbage("artifacts/models/torch/weights.safetensors"),
            "dnapair score torch",
            TRAIN,
        ),
    ),
    "a network of other interactions": (
        State(
            "The network was trained on interactions of other settings",
            in_json("artifacts/models/torch/network.json", "interactions", value=3),
            "dnapair score torch",
            LAST,
        ),
    ),
    "files of other hands": (
        State(
            "This is no layout of interactions",
            in_json("artifacts/interactions/manifest.json", "made_by", "layout", "bins1", value=0),
            VALIDATE,
            LAST,
        ),
        State("The stage that writes it comes first", take_away("reports/scaling.json"), VALIDATE, LAST),
        State("is damaged, or no JSON object", garbage("reports/scaling.json"), VALIDATE, BACK),
        State(
            "is damaged, or no Parquet file of dnapair's",
            garbage("artifacts/normalized/val.parquet"),
            VALIDATE,
            BACK,
        ),
    ),
    "data prepared by hand": (
        State("has {} pairs, but {} {}: they are", prepared_by_hand(20), SCALE, FROM_THE_START),
        State("names sequence {}, but {} holds", prepared_by_hand(60), SCALE, FROM_THE_START),
    ),
    "a champion of an earlier dnapair": (
        State(
            "does not hold what its train sequences are like",
            earlier_champion,
            f"dnapair drift {OF_TABLE}",
            r"\((dnapair register)\).*: (dnapair models promote VERSION .*)",
            "the champion was trained on other pairs (data ffffffff",
        ),
    ),
    "a champion that is cut": (
        State(
            "Register it again (dnapair register), and promote that version",
            cut_champion,
            f"dnapair predict {OF_TABLE} --output scored.csv",
            r"\((dnapair register)\).*: (dnapair models promote VERSION .*); or",
            "the champion can't be compared with",
        ),
    ),
}
"""Made one after the other in a finished pipeline: each is told before those above it, all are mended."""

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
