"""The loop that fine-tunes: steps over shuffled train pairs, looks at validation, checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.towers import Draw, PairNetwork
from dnapair.machine.ahead import map_ahead
from dnapair.pretraining.checkpoint import Standing, restore, save_checkpoint
from dnapair.training.loop import Pairs, positive_weight
from dnapair.training.ranking import average_precision

_BETAS = (0.9, 0.98)
_SCALED_ON = 256
_SCORED_PAIRS = 1024
_ALIKE = 1e-3
"""Embeddings that spread by less than this share of what they did at first are all alike."""
_WARMUP = 0.1


class Phase(NamedTuple):
    """How an encoder is trained in one of its forms.

    Attributes
    ----------
    name : str
        ``bag`` or ``bert``.
    steps : int
        At most.
    batch_pairs, micro_pairs : int
        Pairs in a step; and how many of them go through at once, at the same gradient.
    learning_rate, head_rate : float
        The greatest, of the encoder and of the network on it; they rise over a tenth of the steps and fall
        along a cosine to 0.
    weight_decay : float
        Of matrices.
    clip_norm : float
        The gradient's greatest norm.
    look : int
        Steps between two looks at validation.
    patience : int
        Looks without a better one before it ends.
    seed : int
        Of the order of pairs, of what is dropped.
    """

    name: str
    steps: int
    batch_pairs: int
    micro_pairs: int
    learning_rate: float
    head_rate: float
    weight_decay: float
    clip_norm: float
    look: int
    patience: int
    seed: int


class Watch(NamedTuple):
    """Who looks on.

    Attributes
    ----------
    checkpoint : Path
        The file.
    settings : dict
        What a checkpoint is good for.
    minutes : float
        Between two checkpoints.
    record : callable
        Takes the phase, the step and what was measured.
    """

    checkpoint: Path
    settings: Mapping[str, Any]
    minutes: float
    record: Callable[[str, int, Mapping[str, float]], None]


class CollapseError(Exception):
    """Training came to nothing: its words say how."""


class _Kept(nn.Module):
    """A network, and its weights as they were at the best look."""

    def __init__(self, network: PairNetwork) -> None:
        super().__init__()
        self.network = network
        for name, value in network.state_dict().items():
            self.register_buffer(_flat(name), value.detach().cpu().clone())

    def keep(self) -> None:
        for name, value in self.network.state_dict().items():
            self.get_buffer(_flat(name)).copy_(value)

    def put_back(self) -> None:
        self.network.load_state_dict(
            {name: self.get_buffer(_flat(name)) for name in self.network.state_dict()}
        )


def _flat(name: str) -> str:
    # a buffer's name has no dots
    return name.replace(".", "/")


def train(
    network: PairNetwork, lesson: Lesson, phase: Phase, watch: Watch, standing: Standing, bf16: bool = False
) -> Standing:
    """Train until the last step, or until validation grows no more; the best look's weights are left.

    Parameters
    ----------
    network
        What is trained.
    lesson
        The pairs.
    phase
        How.
    watch
        Who looks on.
    standing
        Where the run is; of another phase: this one begins at its first step.
    bf16
        Whether products of matrices are made in bfloat16.

    Returns
    -------
    Standing
        At the end.

    Raises
    ------
    CollapseError
        If the loss is no number any more, or embeddings or scores are all alike.
    DnapairError
        If a checkpoint does not fit, or memory does not hold a single pair.
    """
    kept = _Kept(network)
    optimizer = _optimizer(network, phase)
    if standing.phase == phase.name and standing.step > 0:
        restore(watch.checkpoint, kept, optimizer)
    else:
        network.eval()
        network.measure_scale(lesson.train.take(slice(_SCALED_ON)))
        standing = standing._replace(phase=phase.name, step=0)
    scores = [entry["val_pr_auc"] for entry in standing.history if entry["phase"] == phase.name]
    steps = range(standing.step, phase.steps) if _waited(scores) < phase.patience else range(0)
    worker = _Worker(network, lesson, phase, bf16)
    first, before, started = standing.step, standing.seconds, time.monotonic()
    saved, losses = started, list[float]()
    bar = tqdm(
        total=phase.steps * phase.batch_pairs,
        initial=standing.step * phase.batch_pairs,
        desc=f"finetune, {phase.name}",
        unit="pair",
        unit_scale=True,
        dynamic_ncols=True,
        disable=None,
    )
    with bar:
        for step, draws in zip(steps, map_ahead(worker.read, steps), strict=True):
            _set_rates(optimizer, phase, step)
            losses.append(worker.step(optimizer, step, draws))
            if not math.isfinite(losses[-1]):
                raise CollapseError(f"step {step + 1}: the loss is no finite number any more")
            bar.update(phase.batch_pairs)
            seconds = before + time.monotonic() - started
            standing = standing._replace(step=step + 1, seconds=seconds)
            last = standing.step == phase.steps
            if standing.step % phase.look == 0 or last:
                measured = {"loss": sum(losses) / len(losses), **worker.look(step)}
                losses.clear()
                if measured["val_pr_auc"] > max(scores, default=-math.inf):
                    kept.keep()
                scores.append(measured["val_pr_auc"])
                rate = phase.batch_pairs * (standing.step - first) / max(seconds - before, 1e-9)
                watch.record(phase.name, standing.step, {**measured, "pairs_per_s": rate})
                entry = {"phase": phase.name, "step": standing.step, **measured}
                standing = standing._replace(history=[*standing.history, entry])
                bar.set_postfix(val_pr_auc=f"{scores[-1]:.4f}", refresh=False)
                last = last or _waited(scores) >= phase.patience
            if last or time.monotonic() - saved > 60 * watch.minutes:
                save_checkpoint(watch.checkpoint, watch.settings, standing, kept, optimizer)
                saved = time.monotonic()
            if last:
                break
    kept.put_back()
    network.eval()
    return standing


class _Worker:
    """Takes the steps and the looks."""

    def __init__(self, network: PairNetwork, lesson: Lesson, phase: Phase, bf16: bool) -> None:
        self._network = network
        self._lesson = lesson
        self._phase = phase
        self._bf16 = bf16
        self._micro = phase.micro_pairs
        self._weight = torch.tensor(
            positive_weight("balanced", lesson.train.labels), device=network.origin.device
        )
        # one epoch's order at a time
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def read(self, step: int) -> list[Draw]:
        """Read the pairs of a step, some at a time."""
        size = self._phase.batch_pairs
        epoch, place = divmod(step, self._lesson.train.labels.size // size)
        chosen = self._order(epoch)[place * size : (place + 1) * size]
        seed = self._phase.seed * 1_000_003 + step
        return [
            self._network.draw(self._lesson.train.take(chosen[start : start + self._micro]), seed + start)
            for start in range(0, size, self._micro)
        ]

    def step(self, optimizer: torch.optim.Optimizer, step: int, draws: list[Draw]) -> float:
        """Take a step and return the loss before it; where memory is too small, in smaller parts."""
        while True:
            try:
                return self._step(optimizer, step, draws)
            except torch.OutOfMemoryError:
                if self._micro == 1:
                    raise DnapairError(
                        "finetune: the GPU's memory does not hold a single pair. Use finetune.method: "
                        "lora, a smaller encoder (encoder.source), or finetune.device: cpu."
                    ) from None
                self._micro = -(-self._micro // 2)
            optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            tqdm.write(f"finetune: the GPU's memory is full, going on with {self._micro} pairs at a time")
            draws = self.read(step)

    def look(self, step: int) -> dict[str, float]:
        """Score the validation pairs.

        Raises
        ------
        CollapseError
            If all embeddings or all scores are alike.
        """
        self._network.eval()
        val = self._lesson.val
        logits = score(self._network, val)
        with torch.no_grad():
            values = self._network.embed(self._network.draw(val.take(slice(_SCALED_ON))).read)
        self._network.train()
        spread = float(values.std(0).mean() * self._network.scale)
        if not (np.isfinite(logits).all() and np.ptp(logits) > 0 and spread > _ALIKE):
            raise CollapseError(f"step {step + 1}: all embeddings or scores are alike")
        return {"val_pr_auc": average_precision(val.labels, logits), "spread": spread}

    def _step(self, optimizer: torch.optim.Optimizer, step: int, draws: list[Draw]) -> float:
        self._network.train()
        torch.manual_seed(self._phase.seed * 1_000_003 + step)
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self._weight.device)
        for draw in draws:
            with self._autocast():
                logits = self._network(draw)
            loss = functional.binary_cross_entropy_with_logits(
                logits.float(), draw.labels.to(logits.device), pos_weight=self._weight, reduction="sum"
            )
            loss = loss / self._phase.batch_pairs
            torch.autograd.backward(loss)
            total += loss.detach()
        nn.utils.clip_grad_norm_(self._network.parameters(), self._phase.clip_norm)
        optimizer.step()
        return total.item()

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._weight.device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._phase.seed, epoch])
        return rng.permutation(self._lesson.train.labels.size)


@torch.no_grad()
def score(network: PairNetwork, pairs: Pairs) -> NDArray[np.float32]:
    """Return logits of pairs, shape=(n,), some in memory at a time."""
    parts = range(0, pairs.labels.size, _SCORED_PAIRS)
    drawn = map_ahead(lambda start: network.draw(pairs.take(slice(start, start + _SCORED_PAIRS))), parts)
    return np.concatenate([network(draw).float().cpu().numpy() for draw in drawn])


def _optimizer(network: PairNetwork, phase: Phase) -> torch.optim.Optimizer:
    groups = []
    for module, rate in ((network.encoder, phase.learning_rate), (network.head, phase.head_rate)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        for decayed in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.ndim > 1) == decayed]
            groups.append(
                {"params": chosen, "rate": rate, "weight_decay": phase.weight_decay if decayed else 0.0}
            )
    return torch.optim.AdamW(groups, lr=phase.learning_rate, betas=_BETAS, fused=True)


def _set_rates(optimizer: torch.optim.Optimizer, phase: Phase, step: int) -> None:
    rise = min(1.0, (step + 1) / max(1.0, _WARMUP * phase.steps))
    fall = 0.5 + 0.5 * math.cos(math.pi * step / phase.steps)
    for group in optimizer.param_groups:
        group["lr"] = group["rate"] * rise * fall


def _waited(scores: list[float]) -> int:
    """Return the looks since the first of the best."""
    return len(scores) - 1 - scores.index(max(scores)) if scores else 0
