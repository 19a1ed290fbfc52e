"""Stage `finetune`: the encoder learns from the train pairs, or is handed through as it is."""

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair import tracking
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.scaling import fit, write_scaled
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import InteractionScaling
from dnapair.interactions.store import InteractionStore
from dnapair.params import Finetune, Params, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.encoders import FACTS, open_source
from dnapair.storage.files import atomic_folder, sha256, write_json, write_sums
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.numeric_columns import read_numbers, read_table
from dnapair.storage.sequence_file import SequenceFile
from dnapair.training.loop import Pairs

if TYPE_CHECKING:
    from dnapair.finetuning.choice import Try
    from dnapair.finetuning.loop import Watch
    from dnapair.finetuning.pairs import Lesson
    from dnapair.finetuning.probe import Worth
    from dnapair.finetuning.search import Values
    from dnapair.finetuning.tokens import Tokens
    from dnapair.finetuning.tries import Course

WORK = Path("artifacts/finetuning")
LEARNT, DRAWN = "source", "untrained"
_BLOCK = 4096
_FREE = ("checkpoint_minutes", "micro_batch", "device")
"""Settings that a resumed run may change."""


def run() -> None:
    """Write artifacts/encoder: params.yaml's encoder, or one that has learnt from the train pairs."""
    params = load_params()
    logged = flatten(params.finetune, "finetune") | flatten(params.encoder, "encoder")
    with tracking.stage_run("finetune", logged, paths.IDENTITIES) as run:
        source = open_source(params.encoder)
        report: dict[str, Any] = {"method": params.finetune.method, "source": source.name, "tries": []}
        if params.finetune.method == "none":
            hand_through(params, source)
            report |= {"encoder": source.name, "encoder_sha256": source.fingerprint, "fine_tuned": False}
            run.describe(f"{source.name} as it is: nothing was to be learnt (finetune.method: none).")
        else:
            report |= fine_tune(params, source, run)
        write_json(paths.FINETUNING_REPORT, report)
        run.log_file(paths.FINETUNING_REPORT)
        # its checkpoints, and what was measured with
        shutil.rmtree(WORK, ignore_errors=True)


def hand_through(params: Params, source: Encoder) -> None:
    """Write the encoder as it is, in half precision where that loses nothing."""
    halves = {}
    with np.errstate(over="ignore"):
        for name, values in source.weights.items():
            halves[name] = values.astype(np.float16)
    exact = all(
        np.array_equal(halves[name], values, equal_nan=True) for name, values in source.weights.items()
    )
    own = Path(params.encoder.source, "README.md")
    card = (
        own.read_text(encoding="utf-8", errors="replace")
        if own.is_file()
        else f"# {source.name}\n\nThe encoder of `encoder.source`, as it is.\n"
    )
    write_folder(source._replace(weights=halves) if exact else source, card, fine_tuned=False)


def write_folder(encoder: Encoder, card: str, *, fine_tuned: bool) -> None:
    """Write an encoder in Hugging Face's layout, its card, and what the later stages call it."""
    with atomic_folder(paths.ENCODER) as folder:
        encoder.save(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
        write_json(folder / FACTS, {"name": encoder.name, "fine_tuned": fine_tuned})
        write_sums(folder)


def fine_tune(params: Params, source: Encoder, run: tracking.StageRun) -> dict[str, Any]:
    """Try what the settings ask for, write what is kept, and return the report's words on it."""
    # PyTorch and transformers are slow to import, and not needed where the encoder stays as it is
    from dnapair.embedding.embedder import Embedder
    from dnapair.finetuning.card import card
    from dnapair.finetuning.choice import choose, describe, let_go
    from dnapair.finetuning.pairs import check_pairs
    from dnapair.finetuning.probe import measure

    if params.encoder.pooling != "mean":
        raise DnapairError(
            f"finetune.method: {params.finetune.method} learns the mean over a sequence's k-mers, and "
            f"encoder.pooling is {params.encoder.pooling}. Set encoder.pooling: mean, or finetune.method: "
            "none."
        )
    paths.check(paths.DATASET)
    scratch = WORK / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    lesson, sequences = read_lesson(params, source, scratch)
    check_pairs(lesson.train, lesson.val)
    if lesson.train.labels.size < params.finetune.batch_size:
        print(
            f"finetune: train has {lesson.train.labels.size} pairs, fewer than finetune.batch_size "
            f"({params.finetune.batch_size}): a batch is all of them",
            file=sys.stderr,
        )

    def worth(encoder: Encoder) -> "Worth":
        embedder = Embedder(
            encoder,
            params.encoder.pooling,
            params.encoder.strand,
            params.encoder.normalize,
            params.embed.precision,
            params.embed.device,
        )
        return measure(embedder.embed, sequences.take, lesson, scratch / "embeddings")

    frozen = worth(source)
    print(f"finetune: {source.name} as it is: validation PR-AUC {frozen.pr_auc:.4f}", file=sys.stderr)
    tries: list[Try] = []
    for one in make_tries(params, source, lesson, sequences, frozen, worth, run):
        tries = let_go([*tries, one])
    choice = choose(tries, asked=params.finetune.method != "auto")
    kept = choice.kept
    if kept is not None and kept.learnt.encoder is not None:
        encoder = kept.learnt.encoder
        settings = flatten(params.finetune, "finetune") | flatten(params.encoder, "encoder")
        settings |= {f"finetune.{name}": value for name, value in kept.values.items()}
        text = card(encoder, kept, choice, settings, lesson.train.labels.size)
        write_folder(encoder, text, fine_tuned=True)
        run.log_file(paths.ENCODER, "encoder")
    else:
        encoder = source
        hand_through(params, source)
    print(f"finetune: {choice.reason}", file=sys.stderr)
    run.log_metrics({"frozen/val_pr_auc": frozen.pr_auc, "kept": float(kept is not None)})
    run.describe(choice.reason)
    return {
        "encoder": encoder.name,
        "encoder_sha256": encoder.fingerprint,
        "fine_tuned": kept is not None,
        "reason": choice.reason,
        "frozen": describe(frozen),
        "tries": [one.to_json() for one in tries],
    }


def make_tries(
    params: Params,
    source: Encoder,
    lesson: "Lesson",
    sequences: "Sequences",
    frozen: "Worth",
    worth: "Callable[[Encoder], Worth]",
    run: tracking.StageRun,
) -> "Iterator[Try]":
    """Let the encoder learn, and an untrained one, which shows what the first one's past is worth."""
    from dnapair.finetuning.choice import Try
    from dnapair.finetuning.probe import compare
    from dnapair.finetuning.tries import CannotLearnError, Learnt, learn
    from dnapair.pretraining.checkpoint import Standing

    auto = params.finetune.method == "auto"
    starts = {LEARNT: source} if source.trained else {}
    starts[DRAWN] = build_untrained(**params.encoder.untrained.model_dump()) if source.trained else source
    asked = list(starts)[: None if auto else 1]
    wanted = values_of(params)
    # a baseline that nobody asked for learns in full
    baseline = wanted[0]._replace(method="full")
    plans = [(kind, values) for kind in starts for values in (wanted if kind in asked else [baseline])]
    for number, (kind, values) in enumerate(plans, 1):
        start, eligible = starts[kind], kind in asked
        changed = values.unlike(wanted[0]) if eligible else ""
        name = f"{start.name}, fine-tuned" + (f" ({changed})" if changed else "")
        settings = params.finetune.model_copy(update=values._asdict())
        shown = {"finetune.start": start.name}
        shown |= {f"finetune.{field}": str(value) for field, value in values._asdict().items()}
        with tracking.trial_run(run, "finetune", number, shown, "try") as nested:
            own = lesson._replace(tokens=sequences.tokens(start))
            label = "-".join([kind, *changed.replace(",", "").split()])
            watch = watch_over(settings, label, start, own, nested)
            try:
                learnt = learn(start, name, own, course_of(settings, start, own), watch)
            except CannotLearnError as error:
                # what is tried besides stops nothing
                if eligible and not auto and not changed:
                    raise
                learnt = Learnt(None, Standing(kind, 0, 0.0, []), f"Not tried: {error}")
            measured = worth(learnt.encoder) if learnt.encoder else None
            gain = compare(lesson, measured, frozen, settings.seed) if measured else None
            if measured and gain:
                nested.log_metrics(
                    {"val_pr_auc": measured.pr_auc, "val_roc_auc": measured.roc_auc, "gain": gain.estimate}
                    | {"seconds": learnt.standing.seconds}
                )
                words = (
                    f"{name}: validation PR-AUC {measured.pr_auc:.4f} ({gain.estimate:+.4f} against the "
                    f"encoder as it was) after {learnt.standing.seconds:.0f} s."
                )
            else:
                words = f"{name}: {learnt.failure}"
            nested.describe(words)
            print(f"finetune: {words}", file=sys.stderr)
            yield Try(name, learnt, measured, gain, eligible, values._asdict())


def values_of(params: Params) -> "list[Values]":
    """Return what is tried: the given values, then those of the search."""
    from dnapair.finetuning.search import Lists, Values, combinations

    settings, lists = params.finetune, params.finetune.search
    given = Values(
        "lora" if settings.method == "lora" else "full",
        settings.learning_rate,
        settings.steps,
        settings.bag_learning_rate,
    )
    wanted = Lists(lists.method, lists.learning_rate, lists.steps, lists.bag_learning_rate)
    return combinations(given, wanted, settings.bag_epochs)


def course_of(settings: Finetune, start: Encoder, lesson: "Lesson") -> "Course":
    """Return what the settings say of a try."""
    from dnapair.embedding.embedder import choose_device
    from dnapair.finetuning.contrast import ContrastSettings
    from dnapair.finetuning.lora import LoraSettings
    from dnapair.finetuning.tries import Course

    device = choose_device(settings.device, "finetune.device") if settings.steps else "cpu"
    lora, contrast = settings.lora, settings.contrastive
    return Course(
        fresh=not start.trained,
        bag_epochs=settings.bag_epochs,
        bag_rate=settings.bag_learning_rate,
        dropout=settings.dropout,
        steps=settings.steps,
        rate=settings.learning_rate,
        batch_pairs=min(settings.batch_size, lesson.train.labels.size),
        micro_pairs=settings.micro_batch,
        patience=settings.patience,
        weight_decay=settings.weight_decay,
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        lora=LoraSettings(lora.rank, lora.alpha, lora.dropout, tuple(lora.targets))
        if settings.method == "lora"
        else None,
        device=device,
        bf16=settings.precision == "bfloat16" or (settings.precision == "auto" and device == "cuda"),
        contrast=ContrastSettings(contrast.weight, contrast.temperature, contrast.hard_negatives)
        if contrast.weight
        else None,
    )


def watch_over(
    settings: Finetune, label: str, start: Encoder, lesson: "Lesson", run: tracking.StageRun
) -> "Watch":
    """Return who looks on: the checkpoint, MLflow, and the user."""
    from dnapair.finetuning.loop import Watch

    flat = flatten(settings, "finetune")
    identity = {
        key: value
        for key, value in flat.items()
        if key.rpartition(".")[2] not in _FREE and not key.startswith("finetune.search.")
    }
    identity |= {"encoder": start.fingerprint, "pairs": lesson.identity()}
    identity |= {"interactions": sha256(paths.INTERACTIONS / "manifest.json")}

    def record(phase: str, step: int, values: Mapping[str, float]) -> None:
        run.log_metrics({f"{phase}/{name}": value for name, value in values.items()}, step)
        tqdm.write(
            f"finetune, {label}, {phase}, step {step}: loss {values['loss']:.4f}, validation PR-AUC "
            f"{values['val_pr_auc']:.4f}, {values['pairs_per_s']:,.0f} pairs/s",
            file=sys.stderr,
        )

    return Watch(WORK / f"{label}.safetensors", identity, settings.checkpoint_minutes, record)


class Sequences:
    """The sequences of a lesson, by their numbers in it.

    Parameters
    ----------
    used : np.ndarray, shape=(n,)
        Their rows in artifacts/dataset.
    """

    def __init__(self, used: NDArray[np.int64]) -> None:
        self._used = used
        self._file = SequenceFile(paths.SEQUENCES)

    def take(self, numbers: NDArray[np.int64]) -> list[str]:
        """Return some of them."""
        return self._file.take(self._used[numbers])

    def tokens(self, encoder: Encoder) -> "Tokens":
        """Return all of them as an encoder's k-mers."""
        from dnapair.embedding.embedder import check_embeddable
        from dnapair.finetuning.tokens import Tokens

        k = encoder.vocabulary.k
        names = SequenceFile(paths.SEQUENCES, "id")

        def blocks() -> Iterator[list[str]]:
            for start in range(0, self._used.size, _BLOCK):
                rows = self._used[start : start + _BLOCK]
                some = self._file.take(rows)
                check_embeddable(some, names.take(rows), k)
                yield some

        return Tokens(blocks(), k, encoder.window)


def read_lesson(params: Params, encoder: Encoder, scratch: Path) -> "tuple[Lesson, Sequences]":
    """Read train and validation, and nothing of a test pair."""
    from dnapair.finetuning.pairs import Lesson

    split = read_table(paths.PAIRS, ["split"], texts=["split"])["split"]
    parts = {name: pc.equal(split, name).to_numpy() for name in ("train", "val")}
    seen = parts["train"] | parts["val"]
    rows1, rows2, labels = (column[seen] for column in read_numbers(paths.PAIRS, ["row1", "row2", "label"]))
    used, places = np.unique(np.stack([rows1, rows2]), return_inverse=True)
    first, second = places.reshape(2, -1)
    sequences = Sequences(used)
    store = InteractionStore.open(paths.INTERACTIONS)
    met = None if params.network.inputs == "embeddings" else scale_met(store, seen, parts["train"], scratch)
    pairs = Pairs(first, second, labels.astype(np.float32), np.arange(labels.size))
    symmetric = params.network.symmetric
    lesson = Lesson(
        train=pairs.take(parts["train"][seen]),
        val=pairs.take(parts["val"][seen]),
        tokens=sequences.tokens(encoder),
        interactions=met,
        symmetric=store.layout.symmetric if symmetric == "auto" else symmetric,
        both_strands=params.encoder.strand == "both",
        normalize=params.encoder.normalize,
    )
    return lesson, sequences


def scale_met(
    store: InteractionStore, seen: NDArray[np.bool_], training: NDArray[np.bool_], scratch: Path
) -> MatrixFile:
    """Scale the interactions of the pairs that are seen by those of the train pairs, into a file."""
    if seen.size != store.pairs:
        raise DnapairError(
            f"{paths.INTERACTIONS} has {store.pairs} pairs, but {paths.PAIRS} {seen.size}: they are from "
            "different data. Run the whole pipeline: dvc repro"
        )

    def shards() -> Iterable[tuple[int, NDArray[np.float32]]]:
        done = 0
        for first, whole in store.shards():
            # behind the pairs of the data are those that were drawn
            values = whole[: max(seen.size - first, 0)][seen[first : first + len(whole)]]
            yield done, values
            done += len(values)

    fitted = fit(shards, store.dimensions, training[seen], "dimension")
    scaling = InteractionScaling.of(store.layout, fitted.scaler)

    def kept() -> Iterable[tuple[int, NDArray[np.float32]]]:
        return ((first, values[:, scaling.columns]) for first, values in shards())

    path = scratch / "interactions.npy"
    write_scaled(fitted._replace(scaler=scaling.scaler), kept, training[seen], path)
    return MatrixFile(path)
