"""Stage `score`: what the trained networks say of the validation and test pairs."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.special import expit

from dnapair import tracking
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import load_weights, split
from dnapair.stages import paths
from dnapair.stages.inputs import open_matrices
from dnapair.storage.files import atomic_folder, read_json, write_sums
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import predict, read_pairs

SPLITS = ("val", "test")


def run() -> None:
    """Score with both networks of artifacts/models and each of their members, and write artifacts/scores."""
    for framework in paths.FRAMEWORKS:
        score(framework)


def score(framework: str) -> None:
    """Score with one, and write artifacts/scores/FRAMEWORK."""
    with tracking.stage_run(f"score@{framework}", {}, paths.IDENTITIES) as run:
        model = paths.model_folder(framework)
        paths.check(paths.NORMALIZED, model)
        training = read_json(model / "training.json")
        spec = NetworkSpec.from_json(read_json(model / "network.json"))
        names = [f"seed_{member['seed']}" for member in training["members"]]
        members = split(spec, load_weights(model / "weights.safetensors", spec))
        matrices = open_matrices(spec, training["interactions"])
        # no step is taken, so how steps would be taken does not matter
        learner = make_learner(framework, spec.member, LearnerSettings(0.0, 0.0, 1.0, 1.0, seed=1))
        with atomic_folder(paths.score_folder(framework)) as folder:
            for name in SPLITS:
                pairs = read_pairs(paths.split_file(name))
                logits = []
                for weights in members:
                    learner.set_weights(weights)
                    logits.append(predict(learner, matrices, pairs).astype(np.float64))
                columns = {"row": pairs.rows, "probability": expit(np.mean(logits, axis=0))}
                if len(members) > 1:
                    columns |= {seed: expit(own) for seed, own in zip(names, logits, strict=True)}
                pq.write_table(pa.table(columns), folder / f"{name}.parquet")
            write_sums(folder)
        run.log_file(paths.score_folder(framework), "scores")
        scorer = f"the mean of {len(members)} trained networks" if len(members) > 1 else "the trained network"
        run.describe(f"Probabilities of the validation and test pairs, by {scorer}.")
