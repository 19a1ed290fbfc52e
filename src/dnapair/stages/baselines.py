"""Stage `baselines`: what needs no network of ours, fitted and scored on the same pairs; once for both."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dnapair import tracking
from dnapair.embedding.embedder import choose_precision, open_bert
from dnapair.evaluation.baselines import Baseline, Met, fit_baselines
from dnapair.evaluation.recipe import NAME, begin_recipe
from dnapair.interactions.scaling import InteractionScaling
from dnapair.params import Params, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.encoders import open_encoder
from dnapair.storage.files import atomic_folder, write_json, write_sums
from dnapair.storage.matrix import MatrixFile
from dnapair.storage.sequence_file import SequenceFile
from dnapair.training.loop import Pairs, read_pairs


def run() -> None:
    """Fit the baselines on the train pairs, and write artifacts/baselines."""
    params = load_params()
    logged = flatten(params.encoder, "encoder") | {
        f"evaluate.{key}": getattr(params.evaluate, key) for key in ("original_recipe", "seed")
    }
    with tracking.stage_run("baselines", logged, paths.IDENTITIES) as run:
        paths.check(paths.DATASET, paths.NORMALIZED)
        splits = {name: read_pairs(paths.split_file(name)) for name in ("train", "val", "test")}
        with scratch_folder() as scratch:
            found = fit_baselines(
                MatrixFile(paths.SCALED),
                SequenceFile(paths.SEQUENCES),
                Met(MatrixFile(paths.SCALED_INTERACTIONS), InteractionScaling.load(paths.NORMALIZED)),
                splits,
                scratch,
                both_strands=params.encoder.strand == "both",
                seed=params.evaluate.seed,
                others=original_recipe(params, splits, scratch),
            )
        with atomic_folder(paths.BASELINES) as folder:
            for split in ("val", "test"):
                columns = {name: baseline.scores[split] for name, baseline in found.items()}
                pq.write_table(pa.table(columns), folder / f"{split}.parquet")
            facts = {
                name: {"about": baseline.about, "threshold": baseline.threshold, "kind": baseline.kind}
                for name, baseline in found.items()
            }
            write_json(folder / "baselines.json", facts)
            write_sums(folder)
        run.log_metrics(
            {
                f"threshold/{tracking.metric_name(name)}": baseline.threshold
                for name, baseline in found.items()
            }
        )
        run.log_file(paths.BASELINES, "baselines")
        run.describe(f"{len(found)} baselines on the same pairs: {', '.join(found)}.")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder for what is needed meanwhile."""
    # beside the outputs: what there is of many sequences may be too large for the system's own place
    folder = paths.BASELINES.parent / ".scratch.tmp"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def original_recipe(
    params: Params, splits: dict[str, Pairs], scratch: Path
) -> dict[str, Callable[[], Baseline]]:
    """Return what follows the original recipe with the encoder of params.yaml, by its name; or nothing."""
    if not params.evaluate.original_recipe:
        return {}
    encoder = open_encoder()
    device = params.embed.device
    bert = open_bert(encoder, "mean", choose_precision(params.embed.precision, device), device)
    sequences = SequenceFile(paths.SEQUENCES)
    return {NAME: begin_recipe(bert, encoder, sequences, splits, scratch, params.evaluate.seed)}
