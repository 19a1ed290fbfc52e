"""Stage `score`: what the trained networks of one framework say of the validation and test pairs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit

from dnapair import tracking
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import load_weights
from dnapair.stages import paths
from dnapair.stages.inputs import open_matrices
from dnapair.storage.files import atomic_folder, read_json, write_sums
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import predict, read_pairs

SPLITS = ("val", "test")


def run(framework: str) -> None:
    """Score with artifacts/models/FRAMEWORK and its repeats, and write artifacts/scores/FRAMEWORK."""
    with tracking.stage_run(f"score@{framework}", {}, paths.IDENTITIES) as run:
        model = paths.model_folder(framework)
        paths.check(paths.NORMALIZED, model)
        training = read_json(model / "training.json")
        spec = NetworkSpec.from_json(read_json(model / "network.json"))
        seeds = [f"seed_{repeat['seed']}" for repeat in training["repeats"]]
        weights = {"probability": model / "weights.safetensors"}
        weights |= {seed: model / "repeats" / f"{seed}.safetensors" for seed in seeds}
        matrices = open_matrices(spec, training["interactions"])
        # no step is taken, so how steps would be taken does not matter
        learner = make_learner(framework, spec, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
        with atomic_folder(paths.score_folder(framework)) as folder:
            for split in SPLITS:
                pairs = read_pairs(paths.split_file(split))
                columns = {"row": pairs.rows}
                for name, file in weights.items():
                    learner.set_weights(load_weights(file, spec))
                    logits = predict(learner, matrices, pairs)
                    columns[name] = expit(logits.astype(np.float64))
                pq.write_table(pa.table(columns), folder / f"{split}.parquet")
            write_sums(folder)
        run.log_file(paths.score_folder(framework), "scores")
        run.describe(f"Probabilities of the validation and test pairs, by {len(weights)} trained networks.")
