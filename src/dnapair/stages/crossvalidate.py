"""Stage `crossvalidate`: the network trained anew for each fold over the groups, on all pairs of the data."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dnapair.data.groups import group_columns
from dnapair.embedding.store import EmbeddingStore
from dnapair.errors import DnapairError
from dnapair.interactions.store import InteractionStore
from dnapair.networks.spec import NetworkSpec
from dnapair.params import Params, Split, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.groups import either_strand, read_groups
from dnapair.storage.files import read_json, sha256, write_json
from dnapair.storage.numeric_columns import column_names, read_numbers
from dnapair.training.learner import LearnerSettings

if TYPE_CHECKING:
    from dnapair.evaluation.folds import Fold
    from dnapair.tracking import StageRun

WORK = Path("artifacts/folds")


class Data(NamedTuple):
    """All pairs, whatever their split.

    Attributes
    ----------
    rows : np.ndarray, shape=(n, 2)
        The two sequences of each.
    either : np.ndarray, shape=(n, 2)
        Numbers of these, one for both strands if they are one.
    labels : np.ndarray, shape=(n,)
        1 for related pairs, 0 for the others.
    groups : np.ndarray, shape=(n, columns)
        Numbers of their groups.
    """

    rows: NDArray[np.int64]
    either: NDArray[np.int64]
    labels: NDArray[np.int8]
    groups: NDArray[np.int64]


def run() -> None:
    """Write reports/folds.json; at once where no folds are asked for."""
    params = load_params()
    if params.evaluate.folds:
        cross_validate(params)
    else:
        write_json(paths.FOLDS_REPORT, {"folds": 0})


def cross_validate(params: Params) -> None:
    """Train and measure every fold that the work folder does not hold yet, each as an MLflow run."""
    # no folds, no wait for the imports of MLflow and scikit-learn
    from dnapair import tracking
    from dnapair.evaluation.folds import COSINE, COSINE_METRICS, cut_fold, draw_folds
    from dnapair.evaluation.metrics import METRICS, spread

    asked = params.evaluate
    if read_json(paths.FINETUNING_REPORT)["fine_tuned"]:
        raise DnapairError(
            "evaluate.folds would test pairs of train, whose labels the encoder has learnt from: the numbers "
            "would be too good. Set evaluate.folds: 0, or finetune.method: none."
        )
    best = read_json(paths.BEST_HYPERPARAMETERS)
    columns = group_columns(asked.groups, params.split.groups, column_names(paths.PAIRS))
    settings = {
        "evaluate.folds": asked.folds,
        "evaluate.seed": asked.seed,
        "evaluate.groups": columns,
        "split.strands": params.split.strands,
        **flatten(params.scale, "scale"),
        **{f"network.{key}": value for key, value in best["network"].items()},
        **{f"train.{key}": value for key, value in training(params, best).items()},
    }
    with tracking.stage_run("crossvalidate", settings, paths.IDENTITIES) as run:
        paths.check(paths.DATASET)
        data = read_data(columns, params.split)
        homes = draw_folds(data.groups, data.labels, asked.folds, asked.seed)

        def cut(number: int) -> "Fold":
            return cut_fold(number, homes, data.groups, data.either, data.labels, asked.seed)

        # a fold that can't be used is told before any is trained
        tested = sum(cut(number).test.size for number in range(asked.folds))
        dropped = len(data.labels) - tested
        if dropped:
            tqdm.write(
                f"{dropped} of {len(data.labels)} pairs have groups ({', '.join(columns)}) in two folds: "
                "they are tested in none, so the folds' class ratio may not be the data's."
            )
        work = WORK / identify(settings)
        each = []
        with tqdm(total=asked.folds, desc="folds", unit="fold", dynamic_ncols=True, disable=None) as bar:
            for number in range(asked.folds):
                record = work / f"fold_{number + 1}.json"
                if not record.is_file():
                    shown = {"fold": number + 1, "evaluate.groups": columns}
                    with tracking.trial_run(run, work.name, number + 1, shown, "fold") as nested:
                        fold = measure(number, cut(number), data, params, best, work, nested)
                    # after its run is recorded: a fold that is kept is not run again
                    write_json(record, fold)
                each.append(read_json(record))
                bar.update()
        network = by_kind(spread(each, METRICS))
        cosine = by_kind(spread([fold["baselines"][COSINE] for fold in each], COSINE_METRICS))
        report = {
            "folds": asked.folds,
            "groups": columns,
            "dropped_pairs": dropped,
            "each": each,
            **network,
            "baselines": {COSINE: cosine},
        }
        write_json(paths.FOLDS_REPORT, report)
        run.log_metrics(
            {f"{kind}/{name}": value for kind, values in network.items() for name, value in values.items()}
            | {
                f"{kind}/cosine.{name}": value
                for kind, values in cosine.items()
                for name, value in values.items()
            }
            | {"dropped_pairs": dropped}
        )
        run.log_file(paths.FOLDS_REPORT)
        means = " and ".join(
            f"{words} {network['mean'][name]:.3f} \u00b1 {network['std'][name]:.3f}"
            for name, words in (("pr_auc", "PR-AUC"), ("roc_auc", "ROC-AUC"))
        )
        run.describe(f"{asked.folds} folds over {', '.join(columns)}: {means} (mean and standard deviation).")
        # what it holds could outlive a change of the code
        shutil.rmtree(work)


def by_kind(found: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Turn mean and standard deviation of each metric into ``mean`` and ``std`` of all."""
    return {
        kind: {name: both[place] for name, both in found.items()}
        for place, kind in enumerate(("mean", "std"))
    }


def training(params: Params, best: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a training; folds are not calibrated."""
    return {**params.train.model_dump(exclude={"calibration"}), **best["train"]}


def read_data(columns: list[str], split: Split) -> Data:
    """Read the pairs of all splits."""
    row1, row2, labels = read_numbers(paths.PAIRS, ["row1", "row2", "label"])
    rows, either = np.stack([row1, row2], axis=1), either_strand(split)
    return Data(rows, rows if either is None else either[rows], labels, read_groups(columns, split))


def measure(
    number: int,
    fold: "Fold",
    data: Data,
    params: Params,
    best: dict[str, Any],
    work: Path,
    run: "StageRun",
) -> dict[str, Any]:
    """Train and measure one fold; log its epochs and metrics."""
    from dnapair.evaluation.folds import COSINE, measure_fold
    from dnapair.training.loop import Epoch, LoopSettings, Pairs, positive_weight

    store = EmbeddingStore.open(paths.EMBEDDINGS)
    if data.rows.max() >= store.rows:
        raise DnapairError(
            f"{paths.PAIRS} names sequence {data.rows.max()}, but {paths.EMBEDDINGS} holds {store.rows} "
            "only: they are from different data. Run the whole pipeline: dvc repro"
        )
    splits = {
        name: Pairs(data.rows[pairs, 0], data.rows[pairs, 1], data.labels[pairs].astype(np.float32), pairs)
        for name, pairs in fold._asdict().items()
    }
    interactions = InteractionStore.open(paths.INTERACTIONS)
    drawn = interactions.negatives()
    rows = np.arange(interactions.pairs, interactions.rows)
    inputs = best["network"]["inputs"]
    spec = NetworkSpec.from_json(
        {name: value for name, value in best["network"].items() if name != "inputs"}
        | {
            "dimensions": store.dimensions,
            "embeddings": inputs != "interactions",
            "interactions": 0 if inputs == "embeddings" else interactions.dimensions,
        }
    )
    fields = training(params, best)
    fields["positive_weight"] = positive_weight(fields["positive_weight"], splits["train"].labels)

    def log_epoch(epoch: Epoch) -> None:
        named = {"epoch/loss": epoch.train_loss, "epoch/val_pr_auc": epoch.val_pr_auc}
        run.log_metrics(named, epoch.epoch)

    # beside the results: a system's temporary files may lie in memory
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        measured = measure_fold(
            store.shards,
            store.rows,
            splits,
            spec,
            LearnerSettings.of(fields),
            LoopSettings.of(fields),
            params.scale.mode,
            Path(scratch),
            params.train.repeats,
            log_epoch,
            f"fold {number + 1}",
            (interactions.shards, interactions.rows) if spec.interactions else None,
            Pairs(drawn[:, 0], drawn[:, 1], np.zeros(rows.size, np.float32), rows),
        )
    counts = {
        "pairs": fold.test.size,
        "related": int(data.labels[fold.test].sum()),
        "train_pairs": fold.train.size,
        "train_related": int(data.labels[fold.train].sum()),
        "val_pairs": fold.val.size,
        "val_related": int(data.labels[fold.val].sum()),
        "left_out": len(data.labels) - sum(pairs.size for pairs in fold),
    }
    values = counts | {
        "best_epoch": measured.best_epoch,
        "threshold": measured.threshold,
        **measured.metrics,
    }
    run.log_metrics(
        {**counts, "best_epoch": measured.best_epoch, "test/threshold": measured.threshold}
        | {f"test/{name}": value for name, value in measured.metrics.items()}
        | {f"cosine/{name}": value for name, value in measured.cosine.items()}
    )
    return {"fold": number + 1, **values, "baselines": {COSINE: measured.cosine}}


def identify(settings: dict[str, Any]) -> str:
    """Name a cross-validation by all that its folds depend on: settings and data."""
    data = [
        sha256(path)
        for path in (paths.PAIRS, paths.EMBEDDINGS / "manifest.json", paths.INTERACTIONS / "manifest.json")
    ]
    return hashlib.sha256(json.dumps([settings, data], sort_keys=True).encode()).hexdigest()[:16]
