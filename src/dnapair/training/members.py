"""Networks of one shape and several seeds: trained side by side, and the one that is their mean."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.machine.forks import Send, fork_each, may_fork, side_by_side
from dnapair.machine.processor import cores
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.weights import Weights, gather, pack_weights, unpack_weights
from dnapair.training.frameworks import load_framework, make_learner
from dnapair.training.learner import LearnerSettings
from dnapair.training.loop import Epoch, FitResult, LoopSettings, Matrices, Pairs, fit

_LOGITS = "val_logits"
Tell = Callable[[int, Epoch | FitResult], None]
"""Called with the number of a member, from 0, after each of its epochs and at its end."""


class Mean(NamedTuple):
    """The network whose logits are the mean of its members'.

    Attributes
    ----------
    spec
        The network.
    weights
        Of all its members.
    val_logits : np.ndarray, shape=(n,)
        What it gives the validation pairs, float32.
    """

    spec: NetworkSpec
    weights: Weights
    val_logits: np.ndarray


def average(spec: NetworkSpec, members: Sequence[FitResult]) -> Mean:
    """Make one network of several of one shape.

    Parameters
    ----------
    spec
        Of each of them.
    members
        Trained on the same pairs.
    """
    mean = replace(spec, members=len(members))
    logits = np.stack([member.val_logits for member in members]).astype(np.float64).mean(axis=0)
    return Mean(mean, gather(mean, [member.weights for member in members]), logits.astype(np.float32))


def fit_members(
    framework: str,
    spec: NetworkSpec,
    learner: LearnerSettings,
    loop: LoopSettings,
    matrices: Matrices,
    train: Pairs,
    val: Pairs,
    members: int,
    tell: Tell,
    description: str,
    negatives: Pairs | None = None,
) -> list[FitResult]:
    """Train with seed, seed + 1 and so on, several at a time where the machine allows it.

    Parameters
    ----------
    framework
        ``torch`` or ``tensorflow``.
    spec
        Of one network.
    learner, loop
        With the first seed.
    matrices, train, val, negatives
        As for :func:`~dnapair.training.loop.fit`.
    members
        How many are trained.
    tell
        Is told what becomes of them.
    description
        What to call the progress bar over all epochs.

    Returns
    -------
    list of FitResult
        In the order of the seeds.

    Raises
    ------
    DnapairError
        If a training diverges or collapses, or the process of one was killed.
    """
    found: dict[int, FitResult] = {}

    def train_one(number: int, on_epoch: Callable[[Epoch], None]) -> FitResult:
        own = make_learner(framework, spec, learner._replace(seed=learner.seed + number))
        schedule = loop._replace(seed=loop.seed + number)
        result = fit(own, matrices, train, val, schedule, on_epoch, negatives=negatives)
        if result.collapsed:
            raise DnapairError(
                f"The {framework} network gives all {val.labels.size} validation pairs the same score: its "
                f"training with seed {learner.seed + number} collapsed. Try a lower train.learning_rate or "
                "network.dropout. Whether the embeddings differ at all stands in reports/validation.html."
            )
        return result

    def share_cores() -> None:
        if at_once > 1:
            load_framework(framework).use_threads(max(1, cores() // at_once))

    def train_in_fork(number: int, send: Send) -> None:
        share_cores()
        send(pack(train_one(number, lambda epoch: send(pack(epoch)))))

    def hear(number: int, news: Epoch | FitResult) -> None:
        tell(number, news)
        if isinstance(news, Epoch):
            bar.set_postfix(loss=f"{news.train_loss:.4f}", val_pr_auc=f"{news.val_pr_auc:.4f}", refresh=False)
            bar.update()
        else:
            found[number] = news
            # it may have stopped early
            bar.total = total - sum(loop.epochs - len(result.history) for result in found.values())

    at_once = side_by_side(members)
    total = loop.epochs * members
    with tqdm(total=total, desc=description, unit="epoch", dynamic_ncols=True, disable=None) as bar:
        if at_once > 1 and may_fork():
            load_framework(framework)
            with closing(fork_each(train_in_fork, members, at_once)) as forks:
                for number, sent in forks:
                    hear(number, unpack(sent))
        else:
            share_cores()
            for number in range(members):
                hear(number, train_one(number, partial(hear, number)))
    return [found[number] for number in range(members)]


def pack(news: Epoch | FitResult) -> bytes:
    """Return what :func:`unpack` makes the same of in another process."""
    if isinstance(news, Epoch):
        return json.dumps([news]).encode()
    told = json.dumps([None, news.history, news.best]).encode()
    return told + b"\n" + pack_weights(news.weights | {_LOGITS: news.val_logits})


def unpack(packed: bytes) -> Epoch | FitResult:
    """Return what :func:`pack` was given."""
    told, _, arrays = packed.partition(b"\n")
    epoch, *trained = json.loads(told)
    if not trained:
        return Epoch(*epoch)
    history, best = trained
    weights = unpack_weights(arrays)
    logits = weights.pop(_LOGITS)
    return FitResult([Epoch(*epoch) for epoch in history], Epoch(*best), weights, logits)
