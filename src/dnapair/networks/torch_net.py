"""The residual network in PyTorch."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from dnapair.networks.features import join
from dnapair.networks.spec import EPSILON, MOMENTUM, NetworkSpec
from dnapair.networks.weights import Weights, shapes

_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class TorchNet(nn.Module):
    """Scores pairs.

    Parameters
    ----------
    spec
        The network; its weights are drawn by PyTorch until :meth:`set_weights`.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        if spec.members > 1:
            self.members = nn.ModuleList(TorchNet(spec.member) for _ in range(spec.members))
        else:
            self.blocks = nn.Sequential(*(_Block(inputs, outputs, spec) for inputs, outputs in spec.blocks))
            self.head = nn.Linear(spec.widths[-1], 1)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Score pairs.

        Parameters
        ----------
        *inputs : torch.Tensor, each of shape=(n, width)
            What :attr:`NetworkSpec.inputs` names, scaled, float32.

        Returns
        -------
        torch.Tensor, shape=(n,)
            Logits of being related.
        """
        return self._score(torch.cat(join(inputs, self.spec.symmetric), dim=1))

    def _score(self, features: Tensor) -> Tensor:
        if self.spec.members > 1:
            return torch.stack([cast(TorchNet, member)._score(features) for member in self.members]).mean(0)
        return cast(Tensor, self.head(self.blocks(features))).squeeze(1)

    def get_weights(self) -> Weights:
        """Copy the weights out, by the names of :func:`dnapair.networks.weights.shapes`."""
        state = self.state_dict()
        return {name: state[name].cpu().numpy().copy() for name in shapes(self.spec)}

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> None:
        """Copy weights in, by the same names."""
        state = self.state_dict()
        for name in shapes(self.spec):
            state[name].copy_(torch.from_numpy(weights[name]))

    def with_probability(self) -> nn.Module:
        """Wrap it in a module of one input.

        Returns
        -------
        torch.nn.Module
            From float32 to probabilities, shape=(n,). It takes pairs of embeddings, shape=(n, 2, dimensions),
            or, where the network takes interactions, all its inputs side by side, shape=(n, sum of widths).
        """
        return _Probability(self)


class _Probability(nn.Module):
    def __init__(self, net: TorchNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pairs: Tensor) -> Tensor:
        spec = self.net.spec
        widths = list(spec.inputs.values())
        inputs = torch.split(pairs, widths, dim=1) if spec.interactions else torch.unbind(pairs, dim=1)
        return torch.sigmoid(self.net(*inputs))


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, spec: NetworkSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.normalization = _normalization(spec, outputs)
        self.activation = _ACTIVATIONS[spec.activation]()
        self.dropout = _Dropout(spec.dropout)
        self.skip = nn.Linear(inputs, outputs, bias=False) if inputs != outputs else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        outputs = self.dropout(self.activation(self.normalization(self.linear(inputs))))
        return cast(Tensor, outputs + self.skip(inputs))


class _Dropout(nn.Module):
    """Dropout by 16 random bits a value: PyTorch's own draws a whole number for each, on one core."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self._dropped = min(round(share * 2**16), 2**16 - 1)

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or not self._dropped:
            return inputs
        words = torch.empty(-(-inputs.numel() // 4), dtype=torch.int64, device=inputs.device)
        bits = words.random_(-(2**63), None).view(torch.int16)[: inputs.numel()].view(inputs.shape)
        kept = (bits >= self._dropped - 2**15).to(inputs.dtype)
        return inputs * kept.mul_(2**16 / (2**16 - self._dropped))


def _normalization(spec: NetworkSpec, width: int) -> nn.Module:
    if spec.normalization == "layer":
        return nn.LayerNorm(width, eps=EPSILON)
    if spec.normalization == "batch":
        return nn.BatchNorm1d(width, eps=EPSILON, momentum=1 - MOMENTUM)
    return nn.Identity()
