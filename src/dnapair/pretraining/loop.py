"""The loop that both phases of pretraining share: schedule, checkpoints, probes, signs of collapse."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from dnapair.errors import DnapairError
from dnapair.machine.ahead import map_ahead
from dnapair.pretraining.checkpoint import Standing, restore, save_checkpoint

COLLAPSED = 0.99
"""Fragments of different genomes with a mean cosine above this are alike to the encoder."""
_PATIENCE = 3
_BETAS = (0.9, 0.98)


class Schedule(NamedTuple):
    """How a phase is optimised.

    Attributes
    ----------
    steps : int
        Number of steps.
    learning_rate : float
        The greatest; it rises over ``warmup`` steps and falls along a cosine to 0.
    warmup : int
        Steps.
    weight_decay : float
        Of matrices; biases, norms and the temperature have none.
    clip_norm : float
        The gradient's greatest norm.
    """

    steps: int
    learning_rate: float
    warmup: int
    weight_decay: float
    clip_norm: float


class Watch(NamedTuple):
    """When a phase is looked at.

    Attributes
    ----------
    checkpoint : Path
        The file.
    settings : dict
        What a checkpoint is good for.
    minutes : float
        Between two checkpoints.
    every : int
        Steps between two records and probes.
    record : callable
        Takes the phase, the step and what was measured since the last record.
    """

    checkpoint: Path
    settings: Mapping[str, Any]
    minutes: float
    every: int
    record: Callable[[str, int, Mapping[str, float]], None]


class Phase(NamedTuple):
    """What one phase does.

    Attributes
    ----------
    name : str
        As it is shown.
    module : nn.Module
        What is trained.
    draw : callable
        Step to a batch, on the CPU; runs beside the step before.
    backward : callable
        Takes a batch, adds up gradients, and gives the losses and the batch's tokens by name; ``likeness``
        is the mean cosine of different genomes.
    probe : callable
        Measures the present state.
    """

    name: str
    module: nn.Module
    draw: Callable[[int], Any]
    backward: Callable[[Any], Mapping[str, float]]
    probe: Callable[[], Mapping[str, float]]


def run_phase(phase: Phase, schedule: Schedule, watch: Watch, standing: Standing, seed: int) -> Standing:
    """Train to the last step, from the checkpoint where it is of this phase.

    Parameters
    ----------
    phase
        What to do.
    schedule
        How.
    watch
        When to look.
    standing
        Where the run is; of another phase: this one begins at its first step.
    seed
        Of dropout.

    Returns
    -------
    Standing
        At the end of the phase.

    Raises
    ------
    DnapairError
        If all embeddings become alike, or a loss is no number any more.
    """
    optimizer = _optimizer(phase.module, schedule)
    if standing.phase == phase.name and standing.step > 0:
        restore(watch.checkpoint, phase.module, optimizer)
    else:
        standing = standing._replace(phase=phase.name, step=0)
    phase.module.train()
    started = saved = time.monotonic()
    before = standing.seconds
    measured: dict[str, list[float]] = {}
    alike = 0
    bar = tqdm(
        total=schedule.steps,
        initial=standing.step,
        desc=phase.name,
        unit="step",
        dynamic_ncols=True,
        disable=None,
    )
    with bar:
        steps = range(standing.step, schedule.steps)
        for step, batch in zip(steps, map_ahead(phase.draw, steps), strict=True):
            _set_rate(optimizer, schedule, step)
            torch.manual_seed(seed * 1_000_003 + step)
            optimizer.zero_grad(set_to_none=True)
            began = time.monotonic()
            losses = dict(phase.backward(batch))
            nn.utils.clip_grad_norm_(phase.module.parameters(), schedule.clip_norm)
            optimizer.step()
            losses["tokens_per_s"] = losses.pop("tokens") / (time.monotonic() - began)
            _check_finite(losses, step)
            alike = alike + 1 if losses.get("likeness", 0) > COLLAPSED and step >= schedule.warmup else 0
            if alike >= _PATIENCE:
                raise _collapsed(step)
            for name, value in losses.items():
                measured.setdefault(name, []).append(value)
            bar.update()
            bar.set_postfix({name: f"{value:.3g}" for name, value in losses.items()}, refresh=False)
            standing = standing._replace(step=step + 1, seconds=before + time.monotonic() - started)
            last = standing.step == schedule.steps
            if standing.step % watch.every == 0 or last:
                phase.module.eval()
                means = {name: sum(values) / len(values) for name, values in measured.items()}
                means |= phase.probe()
                phase.module.train()
                measured.clear()
                watch.record(phase.name, standing.step, means)
                entry = {"phase": phase.name, "step": standing.step, **means}
                standing = standing._replace(history=[*standing.history, entry])
            if last or time.monotonic() - saved > 60 * watch.minutes:
                save_checkpoint(watch.checkpoint, watch.settings, standing, phase.module, optimizer)
                saved = time.monotonic()
    phase.module.eval()
    return standing


def _optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=_BETAS, fused=True)


def _set_rate(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> None:
    rise = min(1.0, (step + 1) / max(1, schedule.warmup))
    fall = 0.5 + 0.5 * math.cos(math.pi * step / schedule.steps)
    for group in optimizer.param_groups:
        group["lr"] = schedule.learning_rate * rise * fall


def _check_finite(losses: Mapping[str, float], step: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise DnapairError(
            f"Step {step + 1}: {', '.join(bad)} is no number any more. Lower pretrain.learning_rate or "
            "pretrain.clip_norm and begin anew; the last checkpoint is from before."
        )


def _collapsed(step: int) -> DnapairError:
    return DnapairError(
        f"Step {step + 1}: pretraining collapsed, all embeddings are alike (mean cosine of different genomes "
        f"above {COLLAPSED}, {_PATIENCE} steps in a row). Lower the learning rate, or raise batch_pairs."
    )
