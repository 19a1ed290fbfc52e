"""The loop that fine-tunes: steps over shuffled train pairs, looks at validation, checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.steps import CollapseError, Phase, Worker
from dnapair.finetuning.towers import PairNetwork
from dnapair.machine.ahead import map_ahead
from dnapair.pretraining.checkpoint import Standing, restore, save_checkpoint

_BETAS = (0.9, 0.98)
_WARMUP = 0.1


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


class _Kept(nn.Module):
    """A network, its weights as they were at the best look, and what the contrastive term holds."""

    def __init__(self, network: PairNetwork, contrast: nn.Module | None) -> None:
        super().__init__()
        self.network = network
        self.contrast = contrast
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
    worker = Worker(network, lesson, phase, bf16)
    kept = _Kept(network, worker.contrast)
    optimizer = _optimizer(network, phase)
    if standing.phase == phase.name and standing.step > 0:
        restore(watch.checkpoint, kept, optimizer)
    else:
        worker.measure_scale()
        standing = standing._replace(phase=phase.name, step=0)
    scores = [entry["val_pr_auc"] for entry in standing.history if entry["phase"] == phase.name]
    steps = range(standing.step, phase.steps) if _waited(scores) < phase.patience else range(0)
    first, before, started = standing.step, standing.seconds, time.monotonic()
    saved, losses = started, list[dict[str, float]]()
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
            if not all(map(math.isfinite, losses[-1].values())):
                raise CollapseError(f"step {step + 1}: the loss is no finite number any more")
            bar.update(phase.batch_pairs)
            seconds = before + time.monotonic() - started
            standing = standing._replace(step=step + 1, seconds=seconds)
            last = standing.step == phase.steps
            if standing.step % phase.look == 0 or last:
                means = {name: sum(one[name] for one in losses) / len(losses) for name in losses[0]}
                measured = means | worker.look(step)
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
