"""Training with PyTorch."""

import os
from collections.abc import Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dnapair.machine.processor import has_bfloat16
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import Weights, initial_weights
from dnapair.training.learner import ADAM_BETAS, ADAM_EPSILON, Inputs, LearnerSettings


class TorchLearner:
    """The PyTorch learner, see :class:`~dnapair.training.learner.Learner`; on a GPU where there is one.

    Parameters
    ----------
    spec
        The network.
    settings
        How its weights change.
    """

    def __init__(self, spec: NetworkSpec, settings: LearnerSettings) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cuda":
            # cuBLAS gives the same sums each time with a workspace of fixed size only
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # what use_deterministic_algorithms does, without its import of the compiler, which takes seconds
        torch.set_deterministic_debug_mode("error")
        # nothing reads memory before it is written, so there is no need to fill it
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.manual_seed(settings.seed)
        self.settings = settings
        self._net = TorchNet(spec).to(self._device)
        self._net.set_weights(initial_weights(spec, settings.seed))
        self._reduced = settings.precision == "bfloat16" or (
            settings.precision == "auto" and _multiplies_bfloat16(self._device)
        )
        self._positive_weight = torch.tensor(settings.positive_weight, device=self._device)

    @staticmethod
    def use_threads(threads: int) -> None:
        """Use so many threads for an operation, in this process."""
        torch.set_num_threads(threads)

    def train_batches(self, inputs: Inputs, labels: np.ndarray) -> np.ndarray:
        """Take one step for each batch and return the weighted losses before them."""
        self._net.train()
        batches = zip(*map(self._tensor, (*inputs, labels)), strict=True)
        # a loss is waited for once all steps are on their way
        losses: np.ndarray = torch.stack([self._step(*batch) for batch in batches]).cpu().numpy()
        return losses

    def predict(self, inputs: Inputs) -> np.ndarray:
        """Return float32 logits, shape=(n,), with dropout off."""
        self._net.eval()
        with torch.inference_mode():
            logits: np.ndarray = self._net(*map(self._tensor, inputs)).cpu().numpy()
        return logits

    def get_weights(self) -> Weights:
        """Copy the weights out."""
        return self._net.get_weights()

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in."""
        self._net.set_weights(weights)

    def set_learning_rate(self, value: float) -> None:
        """Use another learning rate from the next step on."""
        for group in self._optimizer.param_groups:
            group["lr"] = value

    @cached_property
    def _optimizer(self) -> torch.optim.Optimizer:
        # PyTorch imports its compiler with the first one, which takes seconds: not to predict
        return torch.optim.AdamW(
            self._net.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            betas=ADAM_BETAS,
            eps=ADAM_EPSILON,
            fused=True,
        )

    def _step(self, *batch: Tensor) -> Tensor:
        *inputs, labels = batch
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced):
            logits = self._net(*inputs)
        loss = functional.binary_cross_entropy_with_logits(
            logits.float(), labels, pos_weight=self._positive_weight
        )
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self._net.parameters(), self.settings.clip_norm)
        self._optimizer.step()
        return loss.detach()

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return has_bfloat16()
