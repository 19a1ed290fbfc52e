"""Where pretraining stands, in one file: weights, optimizer and step. `kill -9` loses what came after it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from dnapair.errors import DnapairError, first_line
from dnapair.storage.files import atomic_file

_WEIGHTS, _OPTIMIZER = "weights.", "optimizer."


class Standing(NamedTuple):
    """How far a run is.

    Attributes
    ----------
    phase : str
        ``"warm start"`` or ``"pretraining"``.
    step : int
        Steps of the phase that are done. Fragments are drawn by its number, so it is the data position too.
    seconds : float
        Time spent, over all runs.
    history : list of dict
        Probes so far.
    """

    phase: str
    step: int
    seconds: float
    history: list[dict[str, Any]]


def save_checkpoint(
    path: Path,
    settings: Mapping[str, Any],
    standing: Standing,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write a checkpoint in place of the last one.

    Parameters
    ----------
    path
        The file.
    settings
        What a run that resumes from it must have set, by name.
    standing
        How far the run is.
    module
        What is trained.
    optimizer
        Its state goes along.
    """
    tensors = {_WEIGHTS + name: tensor for name, tensor in module.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{number}.{name}": value for name, value in state.items()}
    # tied weights share memory, which safetensors refuses
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    metadata = {"settings": json.dumps(settings), "standing": json.dumps(standing._asdict())}
    with atomic_file(path) as temporary:
        try:
            save_file(copies, temporary, metadata)
        except SafetensorError as error:
            raise _of_system(error, path) from None


def read_standing(path: Path, settings: Mapping[str, Any]) -> Standing | None:
    """Read how far an earlier run with the same settings came.

    Parameters
    ----------
    path
        The file.
    settings
        Those of this run.

    Returns
    -------
    Standing or None
        None where there is no checkpoint.

    Raises
    ------
    DnapairError
        If it is of a run with other settings, or can't be read.
    """
    if not path.exists():
        return None
    earlier, standing = _open(path)
    now = json.loads(json.dumps(settings))
    changed = [
        f"  {name}: {earlier.get(name)} then, {now.get(name)} now"
        for name in dict.fromkeys([*earlier, *now])
        if earlier.get(name) != now.get(name)
    ]
    if changed:
        raise DnapairError(
            f"{path} is the checkpoint of a run with other settings:\n"
            + "\n".join(changed)
            + f"\nSet them back to go on from there, or remove {path} to begin anew."
        )
    return standing


def restore(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's weights and optimizer state back.

    Parameters
    ----------
    path
        The file, as :func:`read_standing` accepted it.
    module, optimizer
        Built as they were when it was written.

    Raises
    ------
    DnapairError
        If it does not fit them.
    """
    state: dict[int, dict[str, torch.Tensor]] = {}
    weights = {}
    with safe_open(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118 # it is no mapping
            tensor = file.get_tensor(key)
            if key.startswith(_WEIGHTS):
                weights[key.removeprefix(_WEIGHTS)] = tensor
            else:
                number, _, name = key.removeprefix(_OPTIMIZER).partition(".")
                state.setdefault(int(number) if number.isdecimal() else -1, {})[name] = tensor
    try:
        module.load_state_dict(weights)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, ValueError, KeyError) as error:
        raise DnapairError(f"{path} does not fit: {first_line(error)} Remove it to begin anew.") from None


def _of_system(error: SafetensorError, path: Path) -> Exception:
    """Return the system's error that safetensors puts into words: a full disk, as a rule."""
    found = re.search(r"os error (\d+)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1])), str(path)) if found else error


def _open(path: Path) -> tuple[dict[str, Any], Standing]:
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata())
        return dict(json.loads(metadata["settings"])), Standing(**json.loads(metadata["standing"]))
    except (SafetensorError, OSError, TypeError, ValueError, KeyError, RecursionError):
        raise DnapairError(f"{path} can't be read. Remove it to begin anew.") from None
