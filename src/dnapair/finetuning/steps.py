"""What fine-tuning does over and over: steps over shuffled train pairs, looks at validation."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.finetuning.contrast import Contrast, ContrastSettings, Related
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.towers import Draw, PairNetwork
from dnapair.machine.ahead import map_ahead
from dnapair.training.loop import Pairs, positive_weight
from dnapair.training.ranking import average_precision

Result = TypeVar("Result")
_SCALED_ON = 256
_SCORED_PAIRS = 1024
_SCORED_FOR_TRAINED = 8
"""Without a gradient, so many times the pairs of a part of a step fit into memory at once."""
_ALIKE = 1e-3
"""Embeddings that spread by less than this share of what they did at first are all alike."""


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
    contrast : ContrastSettings or None
        The contrastive term; None: there is none.
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
    contrast: ContrastSettings | None = None


class CollapseError(Exception):
    """Training came to nothing: its words say how."""


class Worker:
    """Takes the steps and the looks, in smaller parts where a GPU's memory is too small.

    Parameters
    ----------
    network
        What is trained.
    lesson
        The pairs.
    phase
        How.
    bf16
        Whether products of matrices are made in bfloat16.
    """

    def __init__(self, network: PairNetwork, lesson: Lesson, phase: Phase, bf16: bool) -> None:
        self._network = network
        self._lesson = lesson
        self._phase = phase
        self._bf16 = bf16
        self._micro = phase.micro_pairs
        self._device = network.origin.device
        self.contrast = (
            Contrast(phase.contrast, lesson, network.origin.numel(), phase.seed).to(self._device)
            if phase.contrast
            else None
        )
        self._weight = torch.tensor(positive_weight("balanced", lesson.train.labels), device=self._device)
        # one epoch's order at a time
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def measure_scale(self) -> None:
        """Have the network choose its scale by the first train pairs."""
        self._network.eval()
        rows = _sequences(self._lesson.train)
        self._within_memory(lambda: self._network.measure_scale(self._embed(rows)))

    def read(self, step: int) -> list[Draw]:
        """Read the pairs of a step, some at a time."""
        size, micro = self._phase.batch_pairs, self._micro
        epoch, place = self._place(step)
        chosen = self._order(epoch)[place * size : (place + 1) * size]
        seed = self._seed(step)
        return [
            self._network.draw(self._lesson.train.take(chosen[start : start + micro]), seed + start)
            for start in range(0, size, micro)
        ]

    def step(self, optimizer: torch.optim.Optimizer, step: int, draws: list[Draw]) -> dict[str, float]:
        """Take a step and return the losses before it."""
        epoch, place = self._place(step)
        if self.contrast and not place:
            self._network.eval()
            self._within_memory(partial(self.contrast.refresh, epoch, self._see))

        def work() -> dict[str, float]:
            # what was read ahead may be too much by now
            fits = draws[0].labels.numel() <= self._micro
            return self._step(optimizer, step, draws if fits else self.read(step))

        return self._within_memory(work)

    def look(self, step: int) -> dict[str, float]:
        """Score the validation pairs.

        Raises
        ------
        CollapseError
            If all embeddings or all scores are alike.
        """
        self._network.eval()
        val = self._lesson.val
        logits = self._within_memory(lambda: score(self._network, val, self._scored()))
        values = self._within_memory(lambda: self._embed(_sequences(val)))
        spread = float(values.std(0).mean() * self._network.scale)
        if not (np.isfinite(logits).all() and np.ptp(logits) > 0 and spread > _ALIKE):
            raise CollapseError(f"step {step + 1}: all embeddings or scores are alike")
        return {"val_pr_auc": average_precision(val.labels, logits), "spread": spread}

    def _step(self, optimizer: torch.optim.Optimizer, step: int, draws: list[Draw]) -> dict[str, float]:
        self._network.train()
        optimizer.zero_grad(set_to_none=True)
        pulls, losses = self._contrast(step, draws) if self.contrast else ([], {})
        total = torch.zeros((), device=self._device)
        for part, draw in enumerate(draws):
            values = self._seeded(draw.read, step, part)
            with self._autocast():
                logits = self._network.score(values, draw)
            loss = functional.binary_cross_entropy_with_logits(
                logits.float(), draw.labels.to(logits.device), pos_weight=self._weight, reduction="sum"
            )
            loss = loss / self._phase.batch_pairs
            total += loss.detach()
            if pulls:
                loss = loss + (values * pulls[part]).sum()
            torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._network.parameters(), self._phase.clip_norm)
        optimizer.step()
        return {"loss": total.item(), **losses}

    def _contrast(self, step: int, draws: list[Draw]) -> tuple[list[torch.Tensor], dict[str, float]]:
        """Return the contrastive term's gradients of what was seen, and the term.

        The gradients of hard negatives have gone to the encoder. The term is of the whole batch, of which a
        part is in memory at a time.
        Source: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup".
        """
        assert self.contrast is not None  # noqa: S101 # for mypy: it is asked before
        with torch.no_grad():
            seen = [self._seeded(draw.read, step, part) for part, draw in enumerate(draws)]
        values = [one.requires_grad_() for one in seen]
        related = _related(draws, values)
        if not related.rows.size:
            return [], {"contrastive_loss": 0.0}
        hard = self.contrast.find_hard(self._place(step)[0], related)
        rows = np.concatenate(hard)
        seed = self._seed(step)
        reads = [self._network.read(part, seed) for part in _split(rows, 2 * self._micro)]
        with torch.no_grad():
            far = [self._seeded(read, step, len(draws) + part) for part, read in enumerate(reads)]
        far = [one.requires_grad_() for one in far]
        sides = torch.split(torch.cat([*far, values[0][:0]]), [one.size for one in hard])
        loss = self.contrast(related, hard, list(sides))
        torch.autograd.backward(self.contrast.weight * loss)
        for part, (read, one) in enumerate(zip(reads, far, strict=True)):
            torch.autograd.backward(self._seeded(read, step, len(draws) + part), one.grad)
        return [_gradient(one) for one in values], {"contrastive_loss": loss.item()}

    def _seeded(self, read: Any, step: int, part: int) -> torch.Tensor:
        """Return embeddings as the network sees them; a second time, the same is dropped as the first."""
        torch.manual_seed(self._seed(step) + part)
        with self._autocast():
            return self._network.see(read).float()

    def _within_memory(self, work: Callable[[], Result]) -> Result:
        """Do some work; as long as a GPU's memory does not hold it, with half the pairs at a time.

        Raises
        ------
        DnapairError
            If it does not hold a single pair.
        """
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self._micro == 1:
                    raise DnapairError(
                        "finetune: the GPU's memory does not hold a single pair. Use finetune.method: "
                        "lora, a smaller encoder (encoder.source), or finetune.device: cpu."
                    ) from None
                self._micro = -(-self._micro // 2)
            torch.cuda.empty_cache()
            tqdm.write(f"finetune: the GPU's memory is full, going on with {self._micro} pairs at a time")

    @torch.no_grad()
    def _embed(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """Return embeddings of sequences, shape=(n, d), some in memory at a time."""
        parts = _split(rows, 2 * self._scored())
        return torch.cat([self._network.embed(self._network.read(part)) for part in parts])

    def _see(self, rows: NDArray[np.int64]) -> torch.Tensor:
        return (self._embed(rows) - self._network.origin) * self._network.scale

    def _scored(self) -> int:
        return min(_SCORED_PAIRS, _SCORED_FOR_TRAINED * self._micro)

    def _place(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step, and its number in it."""
        return divmod(step, self._lesson.train.labels.size // self._phase.batch_pairs)

    def _seed(self, step: int) -> int:
        return self._phase.seed * 1_000_003 + step

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(self._device.type, torch.bfloat16) if self._bf16 else nullcontext()

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self._phase.seed, epoch])
        return rng.permutation(self._lesson.train.labels.size)


def _related(draws: list[Draw], values: list[torch.Tensor]) -> Related:
    """Put the related pairs of all parts together."""
    rows, seen = [], []
    for draw, part in zip(draws, values, strict=True):
        places = torch.stack([draw.first, draw.second])[:, draw.labels > 0]
        rows.append(draw.rows[places.numpy()])
        seen.append(part[places.to(part.device)])
    return Related(np.concatenate(rows, axis=1), torch.cat(seen, dim=1))


def _gradient(values: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(values) if values.grad is None else values.grad


def _split(rows: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    return [rows[start : start + size] for start in range(0, rows.size, size)]


def _sequences(pairs: Pairs) -> NDArray[np.int64]:
    """Return those of the first pairs, each once."""
    first = pairs.take(slice(_SCALED_ON))
    return np.unique([first.rows1, first.rows2])


@torch.no_grad()
def score(network: PairNetwork, pairs: Pairs, at_once: int) -> NDArray[np.float32]:
    """Return logits of pairs, shape=(n,), some in memory at a time."""
    parts = range(0, pairs.labels.size, at_once)
    drawn = map_ahead(lambda start: network.draw(pairs.take(slice(start, start + at_once))), parts)
    return np.concatenate([network(draw).float().cpu().numpy() for draw in drawn])
