"""Stage `tune`: the hyperparameters that the training of both frameworks starts from."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.interactions.scaling import InteractionScaling
from dnapair.params import Params, flatten, load_params
from dnapair.stages import paths
from dnapair.stages.inputs import open_matrices, specify
from dnapair.storage.files import sha256, write_json
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, LoopSettings, positive_weight, read_pairs
from dnapair.training.trials import Objective, SearchSettings, Space, Trial, Values

STUDIES = Path("artifacts/tuning")
TRAIN_KEYS = ("learning_rate", "weight_decay", "batch_size")
NETWORK_KEYS = ("inputs", "widths", "dropout")
INPUTS = ("both", "interactions", "embeddings")
ROLE_VARIABLES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def run() -> None:
    """Search on artifacts/normalized; all but a worker write reports/best_hyperparameters.json."""
    params = load_params()
    role = find_role()
    if role == "worker":
        work(params)
        return
    # how long the network is trained in the end does not matter to a trial
    logged = (
        flatten(params.network, "network") | flatten(params.train, "train") | flatten(params.tune, "tune")
    )
    del logged["train.epochs"]
    with tracking.stage_run("tune", logged, paths.IDENTITIES) as run:
        network = params.network.model_dump() | {"symmetric": settle_symmetric(params)}
        train = {key: getattr(params.train, key) for key in TRAIN_KEYS}
        # which inputs are better is found out even where nothing else is searched
        study = STUDIES / identify(params) if params.tune.trials or params.network.inputs == "auto" else None
        if study:
            paths.check(paths.NORMALIZED)
        if study and role == "chief":
            run.lead_search(study.name)
        trials = search_trials(params, run, study) if study else []
        chosen = max(range(len(trials)), key=lambda index: trials[index].val_pr_auc) if trials else None
        if chosen is not None:
            values = describe(trials[chosen].values)
            network |= {key: values[key] for key in NETWORK_KEYS}
            train |= {key: values[key] for key in TRAIN_KEYS}
            run.log_metrics(
                {"val_pr_auc": trials[chosen].val_pr_auc, "trials": len(trials), "chosen": chosen}
            )
        tried = [
            {**describe(trial.values), "epochs": trial.epochs, "val_pr_auc": trial.val_pr_auc}
            for trial in trials
        ]
        compared = trials[: len(INPUTS)] if params.network.inputs == "auto" else []
        report = {
            "network": network,
            "train": train,
            "inputs": {trial.values.inputs: trial.val_pr_auc for trial in compared},
            "trials": tried,
            "chosen": chosen,
        }
        write_json(paths.BEST_HYPERPARAMETERS, report)
        run.log_file(paths.BEST_HYPERPARAMETERS)
        run.describe(
            "No search: the network is trained as params.yaml says."
            if chosen is None
            else f"Trial {chosen + 1} of {len(trials)} has the best validation PR-AUC, "
            f"{trials[chosen].val_pr_auc:.3f}: {tell(tried[chosen])}."
        )
        if study:
            # what it holds could outlive a change of the code
            shutil.rmtree(study)


def find_role() -> Literal["alone", "chief", "worker"]:
    """Tell by Keras Tuner's environment variables what this process is in a search.

    Raises
    ------
    DnapairError
        If some of them are set and others are not.
    """
    missing = [name for name in ROLE_VARIABLES if not os.environ.get(name)]
    if len(missing) == len(ROLE_VARIABLES):
        return "alone"
    if missing:
        raise DnapairError(
            f"{' and '.join(missing)} not set. A search on several machines needs all of "
            f"{', '.join(ROLE_VARIABLES)}; a search on one needs none of them."
        )
    # as Keras Tuner tells them apart
    return "chief" if "chief" in os.environ[ROLE_VARIABLES[0]] else "worker"


def work(params: Params) -> None:
    """Run trials for a chief, each as an MLflow run under the chief's."""
    if params.tune.trials < 2:
        raise DnapairError(
            f"tune.trials is {params.tune.trials}, and the chief runs the first: none is left for a worker."
        )
    from dnapair.training.tuning import work as run_trials

    study = identify(params)
    _, space, settings = plan(params)
    # not before the first trial: until then the chief may be on its way
    done = run_trials(make_objective(params, study, lambda: tracking.join_search(study)), space, settings)
    print(f"{os.environ[ROLE_VARIABLES[0]]}: {done} trials run; the chief has no more.")


def search_trials(params: Params, run: tracking.StageRun, study: Path) -> list[Trial]:
    """Run every trial that the study does not hold yet, each as an MLflow run of its own."""
    # no search, no wait for TensorFlow's import
    from dnapair.training.tuning import search

    return search(make_objective(params, study.name, lambda: run), *plan(params), study)


def plan(params: Params) -> tuple[Values, Space, SearchSettings]:
    """Return the first trial's values, what is searched, and how."""
    network, settings, ranges = params.network, params.train, params.tune.space
    given = Values(
        INPUTS[0] if network.inputs == "auto" else network.inputs,
        tuple(network.widths),
        network.dropout,
        settings.learning_rate,
        settings.weight_decay,
        settings.batch_size,
    )
    space = Space(
        widths=[tuple(widths) for widths in ranges.widths],
        inputs=INPUTS if network.inputs == "auto" else (network.inputs,),
        dropout=(ranges.dropout.low, ranges.dropout.high),
        learning_rate=(ranges.learning_rate.low, ranges.learning_rate.high),
        weight_decay=(ranges.weight_decay.low, ranges.weight_decay.high),
        batch_size=ranges.batch_size,
    )
    budget = SearchSettings(params.tune.method, params.tune.trials, params.tune.epochs, params.tune.seed)
    return given, space, budget


def make_objective(params: Params, study: str, find_run: Callable[[], tracking.StageRun]) -> Objective:
    """Return what runs a trial, as an MLflow run under the one that is found."""
    from dnapair.training.tuning import train_trial

    train, val, negatives = map(read_pairs, (*map(paths.split_file, ("train", "val")), paths.NEGATIVES))
    network = params.network.model_dump() | {"symmetric": settle_symmetric(params)}
    weight = positive_weight(params.train.positive_weight, train.labels)
    fields = params.train.model_dump() | {"positive_weight": weight}
    learner = LearnerSettings.of(fields)
    loop = LoopSettings.of(fields)

    def objective(number: int, values: Values, epochs: int) -> float:
        chosen = describe(values) | {"epochs": epochs}
        tried = {
            f"{'network' if key in NETWORK_KEYS else 'train'}.{key}": value for key, value in chosen.items()
        }
        with tracking.trial_run(find_run(), study, number, tried) as trial:
            trial.describe(f"{tell(chosen)}; trained for {epochs} epochs.")

            def log_epoch(epoch: Epoch) -> None:
                named = {"epoch/loss": epoch.train_loss, "epoch/val_pr_auc": epoch.val_pr_auc}
                trial.log_metrics(named, epoch.epoch)

            spec = specify(network | {"inputs": values.inputs})
            matrices = open_matrices(spec)
            best = train_trial(
                matrices, train, val, spec, learner, loop, values, epochs, log_epoch, negatives
            )
            trial.log_metrics({"val_pr_auc": best})
            return best

    return objective


def settle_symmetric(params: Params) -> bool:
    """Return whether both orders of a pair have one score; for auto, as the stage `interact` settled it."""
    if params.network.symmetric != "auto":
        return params.network.symmetric
    return InteractionScaling.load(paths.NORMALIZED).layout.symmetric


def identify(params: Params) -> str:
    """Name a search by all that its trials depend on: settings and data."""
    settings: dict[str, Any] = {
        "network": params.network.model_dump(),
        "train": params.train.model_dump(exclude={"epochs"}),
        "tune": params.tune.model_dump(),
        "data": [
            sha256(path)
            for path in (
                paths.SCALED,
                paths.SCALED_INTERACTIONS,
                paths.INTERACTION_LAYOUT,
                paths.split_file("train"),
                paths.split_file("val"),
                paths.NEGATIVES,
            )
        ],
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def tell(values: dict[str, Any]) -> str:
    """Write a trial's values in a line."""
    return ", ".join(
        f"{key} {values[key]:.3g}" if isinstance(values[key], float) else f"{key} {values[key]}"
        for key in (*NETWORK_KEYS, *TRAIN_KEYS)
    )


def describe(values: Values) -> dict[str, Any]:
    """Return a trial's values as JSON holds them."""
    return {**values._asdict(), "widths": list(values.widths)}
