"""States of a project that bring messages."""

import json
import os
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from dnapair.storage.files import SUMS, sha256, write_sums
from tests.pipeline.conftest import Project
from tests.pipeline.stage_driver import flipped
from tests.small_models import small_encoder

OWN = "own"
"""The folder of a user's own data, beside the project."""


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


def in_json(path: str, *keys: str | int, value: object) -> Callable[[Project], None]:
    def make(project: Project) -> None:
        file = project.root / path
        content = {"": json.loads(file.read_text())}
        *outer, last = ["", *keys]
        place = content
        for key in outer:
            place = place[key]
        place[last] = value
        file.write_text(json.dumps(content[""]))
        sums(project, path)

    return make


def false_shard(project: Project) -> None:
    """Make the first shard of the embeddings one that cannot be read, and its manifest say that it is so."""
    path = "artifacts/embeddings/shard-00000.npy"
    garbage(path)(project)
    manifest = in_json(
        "artifacts/embeddings/manifest.json", "shards", 0, "sha256", value=sha256(project.root / path)
    )
    manifest(project)


def met_otherwise(project: Project) -> None:
    """Interactions of other settings than the network's."""
    project.set({"interactions.bins": 16})
    project.run("dnapair", "interact")
    project.run("dnapair", "scale")


def pretraining(project: Project) -> None:
    """Ask for an encoder that takes seconds."""
    small = {"k": 4, "hidden": 16, "heads": 2, "feed_forward": 32, "crop": 100, "min_length": 60}
    few = {"steps": 5, "probe_steps": 5, "warmup_steps": 1, "micro_batch": 16}
    pairs = {f"{phase}.batch_pairs": 8 for phase in ("warm_start", "contrastive")}
    sizes = {**small, **few, **pairs, "warm_start.steps": 2, "min_genome": 100}
    sizes["fasta"] = "data/sequences.fasta"
    project.set({f"pretrain.{name}": value for name, value in sizes.items()})


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


def tied(project: Project) -> None:
    """Pairs tie genomes of all three splits together."""
    shutil.copytree(project.root / "data", project.root / "mine")
    across = "g0f0,g13f0,0,g0,g13,train\ng0f1,g17f0,0,g0,g17,train"
    in_table("mine", lambda text: f"{text}\n{across}")(project)
    project.set(
        {
            "data.path": "mine",
            "split.method": "grouped",
            "split.groups": ["genome1", "genome2"],
            "split.validation": 0.3,
            "split.test": 0.3,
        }
    )


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


def cut_champion(project: Project) -> None:
    # tests that ran in this project before may have registered others
    bundles = [path for path in (project.root / "mlruns").rglob("weights.safetensors") if is_bundle(path)]
    assert bundles
    for weights in bundles:
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
    return in_file(f"{folder}/pairs.csv", change, time=time)


def in_file(path: str, change: Callable[[str], str], *, time: bool = True) -> Callable[[Project], None]:
    """Change a text as a user would, a link to DVC's cache or not; its time changes too, or not."""

    def make(project: Project) -> None:
        file = project.root / path
        text, times = file.read_text(), file.stat()
        file.unlink()
        file.write_text(change(text))
        if not time:
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    return make


def prepared(*changes: Callable[[Project], None]) -> Callable[[Project], None]:
    """Prepare changed data, which the stages that come after have not seen."""

    def make(project: Project) -> None:
        shutil.copytree(project.root / "data", project.root / "mine", dirs_exist_ok=True)
        both(*changes)(project)
        project.set({"data.path": "mine"})
        project.run("dnapair", "prepare")

    return make


FEWER = prepared(in_table("mine", lambda text: text.rstrip("\n").rpartition("\n")[0]))
MORE = prepared(
    in_file("mine/sequences.fasta", lambda text: f"{text.rstrip()}\n>new genome=g0\n{'ACGTTGCA' * 15}\n"),
    in_table("mine", lambda text: f"{text.rstrip()}\nnew,g0f0,1,g0,g0,train"),
)


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
