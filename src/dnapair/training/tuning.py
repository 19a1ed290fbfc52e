"""Hyperparameter search with Keras Tuner; a search that was killed goes on where it was."""

import contextlib
import io
import math
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

# first of all that loads TensorFlow, because it chooses the backend and keeps the start quiet
from dnapair.training.tensorflow_learner import TensorflowLearner

# isort: split
import keras
import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.errors import FatalError

from dnapair.errors import DnapairError
from dnapair.networks.spec import NetworkSpec
from dnapair.storage.files import read_json, write_json
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, LoopSettings, Matrices, Pairs, fit
from dnapair.training.trials import Objective, SearchSettings, Space, Trial, Values

_GIVEN = "given.json"
_SCORE = "val_pr_auc"


def train_trial(
    matrices: Matrices,
    train: Pairs,
    val: Pairs,
    spec: NetworkSpec,
    learner: LearnerSettings,
    loop: LoopSettings,
    values: Values,
    epochs: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    negatives: Pairs | None = None,
) -> float:
    """Train a Keras network with a trial's values.

    Parameters
    ----------
    matrices, train, val, negatives
        As :func:`dnapair.training.loop.fit` takes them.
    spec, learner, loop
        All that the trial does not choose.
    values, epochs
        What the trial chose.
    on_epoch
        Called after every epoch.

    Returns
    -------
    float
        The best epoch's validation PR-AUC.

    Raises
    ------
    DnapairError
        As :func:`dnapair.training.loop.fit`.
    """
    # else each trial's graph would stay in memory
    keras.backend.clear_session()
    tried = TensorflowLearner(
        replace(spec, widths=values.widths, dropout=values.dropout),
        learner._replace(learning_rate=values.learning_rate, weight_decay=values.weight_decay),
    )
    schedule = loop._replace(epochs=epochs, batch_size=values.batch_size)
    return fit(tried, matrices, train, val, schedule, on_epoch, negatives=negatives).best.val_pr_auc


def search(
    objective: Objective, given: Values, space: Space, settings: SearchSettings, folder: Path
) -> list[Trial]:
    """Try the given values with all inputs, which may lie outside the space, then what Keras Tuner chooses.

    Where Keras Tuner's environment variables make this process the chief of a search on several machines,
    it runs the first trial, and hands out the others to those who :func:`work`, until all are done.

    Parameters
    ----------
    objective
        Runs a trial. What it raises ends the search.
    given
        The first trial's values.
    space, settings
        What is searched, and how.
    folder
        Holds what was finished. A search with the same folder goes on there: name it by all that the
        trials depend on. The trial that was interrupted is run again.

    Returns
    -------
    list of Trial
        In order: one for each of the inputs, then the tuner's, fewer than asked for where Keras Tuner finds
        no new values in the space, or Hyperband needs no more.

    Raises
    ------
    DnapairError
        If the record of the first trial is damaged, or a chief's address can't be served at.
    """
    first = len(space.inputs)
    total = first + max(settings.trials, 1) - 1
    with tqdm(total=total, desc="tune", unit="trial", dynamic_ncols=True, disable=None) as bar:

        def shown(number: int, values: Values, epochs: int) -> float:
            score = objective(number, values, epochs)
            bar.set_postfix({_SCORE: f"{score:.4f}"}, refresh=False)
            bar.update()
            return score

        trials = _first_trials(shown, given, space.inputs, settings.epochs, folder / _GIVEN)
        if settings.trials > 1:
            inputs = max(trials, key=lambda trial: trial.val_pr_auc).values.inputs
            tuner = _open_tuner(shown, space._replace(inputs=[inputs]), settings, folder, first)
            bar.n = first + len(tuner.finished())
            bar.refresh()
            tuner.search_quietly()
            trials += tuner.finished()
    return trials


def work(objective: Objective, space: Space, settings: SearchSettings) -> int:
    """Run the trials that a chief hands out, until it has no more.

    Parameters
    ----------
    objective, space, settings
        As the chief's :func:`search` has them. What a trial raises ends this worker; the chief waits for
        a worker of the same id, which gets the trial again.

    Returns
    -------
    int
        Number of trials that were run here.

    Raises
    ------
    DnapairError
        If the chief does not answer.
    """
    done = 0

    def counted(number: int, values: Values, epochs: int) -> float:
        nonlocal done
        score = objective(number, values, epochs)
        done += 1
        return score

    # Keras Tuner wants a folder; what counts lies in the chief's
    with tempfile.TemporaryDirectory() as folder:
        oracle = _oracle(space, settings)
        _Tuner(counted, oracle, settings.epochs, Path(folder, "worker"), len(space.inputs)).search_quietly()
    return done


def _first_trials(
    objective: Objective, given: Values, inputs: Sequence[str], epochs: int, record: Path
) -> list[Trial]:
    scores: dict[str, float] = read_json(record) if record.is_file() else {}
    for number, name in enumerate(inputs, start=1):
        if name not in scores:
            scores[name] = objective(number, given._replace(inputs=name), epochs)
            write_json(record, scores)
    return [Trial(given._replace(inputs=name), epochs, float(scores[name])) for name in inputs]


def _open_tuner(
    objective: Objective, space: Space, settings: SearchSettings, folder: Path, first: int
) -> "_Tuner":
    try:
        return _Tuner(objective, _oracle(space, settings), settings.epochs, folder, first)
    except (ValueError, KeyError, RuntimeError) as error:
        # Keras Tuner writes in place: a kill may leave half a file
        tqdm.write(f"tune: {folder} is damaged ({error}): all trials but the first are run anew")
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != _GIVEN:
                path.unlink()
        return _Tuner(objective, _oracle(space, settings), settings.epochs, folder, first)


def _oracle(space: Space, settings: SearchSettings) -> keras_tuner.Oracle:
    chosen = keras_tuner.HyperParameters()
    chosen.Choice("inputs", list(space.inputs))
    chosen.Choice("widths", list(dict.fromkeys("-".join(map(str, widths)) for widths in space.widths)))
    chosen.Float("dropout", *space.dropout)
    for name, (low, high) in (("learning_rate", space.learning_rate), ("weight_decay", space.weight_decay)):
        chosen.Float(name, low, high, sampling="log" if low > 0 else "linear")
    chosen.Choice("batch_size", list(dict.fromkeys(space.batch_size)))
    common = {
        "objective": keras_tuner.Objective(_SCORE, "max"),
        "hyperparameters": chosen,
        "seed": settings.seed,
    }
    others = settings.trials - 1
    if settings.method == "hyperband":
        oracle = keras_tuner.oracles.HyperbandOracle(
            max_epochs=settings.epochs, hyperband_iterations=settings.trials, **common
        )
        # Hyperband's own arguments know no limit of trials
        oracle.max_trials = others
        return oracle
    if settings.method == "bayesian":
        # Keras Tuner's default, 15 for these five values, is more than most budgets have
        return keras_tuner.oracles.BayesianOptimizationOracle(
            max_trials=others, num_initial_points=min(15, math.ceil(settings.trials / 2)), **common
        )
    return keras_tuner.oracles.RandomSearchOracle(max_trials=others, **common)


class _Tuner(BaseTuner):  # type: ignore[misc]  # Keras Tuner ships no types
    """Runs what an oracle chooses; numbers go on after the ``first`` trials, those of the given values."""

    def __init__(
        self, objective: Objective, oracle: keras_tuner.Oracle, epochs: int, folder: Path, first: int
    ) -> None:
        self._objective = objective
        self._epochs = epochs
        self._first = first
        with contextlib.redirect_stdout(io.StringIO()):
            super().__init__(oracle=oracle, directory=str(folder.parent), project_name=folder.name)
        if isinstance(self.oracle, keras_tuner.Oracle):
            # not a worker's; a trial that was saved by a run killed before its oracle was is chosen anew
            self.oracle.trials = {name: self.oracle.trials[name] for name in self.oracle.start_order}

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return {_SCORE: self._objective(int(trial.trial_id) + self._first + 1, *self._chosen(trial))}
        except Exception as error:
            # Keras Tuner passes over all other exceptions
            raise FatalError from error

    def search_quietly(self) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras_tuner")
            warnings.simplefilter("ignore", ConvergenceWarning)
            try:
                self.search(verbose=0)
            except FatalError as error:
                raise error.__cause__ or error from None
            except grpc.RpcError:
                raise DnapairError(
                    "The chief has stopped, or did not answer for an hour. Start it again, then this worker."
                ) from None
            except RuntimeError as error:
                raise DnapairError(
                    f"The chief can't serve at its address ({error}). Set KERASTUNER_ORACLE_IP to an address "
                    "of this machine and KERASTUNER_ORACLE_PORT to a port that is free."
                ) from None

    def finished(self) -> list[Trial]:
        trials = (self.oracle.trials[name] for name in self.oracle.start_order)
        return [Trial(*self._chosen(trial), trial.score) for trial in trials if trial.status == "COMPLETED"]

    def _chosen(self, trial: Any) -> tuple[Values, int]:
        values = trial.hyperparameters.values
        widths = tuple(int(width) for width in values["widths"].split("-"))
        others = {name: values[name] for name in Values._fields if name != "widths"}
        chosen = Values(widths=widths, **others)
        return chosen, int(values.get("tuner/epochs", self._epochs))
