"""BERT on a GPU, by PyTorch: windows of many lengths packed end to end, so that no token is padding."""

import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from tqdm import tqdm

from dnapair.embedding.bert import BertShape, Weights, Windows
from dnapair.embedding.pooling import Pooling

BATCH_TOKENS = 2**18
"""Tried first; halved as long as the GPU's memory is too small."""

_AFTER_ATTENTION = (
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


class Packed(NamedTuple):
    """Windows end to end; t tokens of n windows.

    Attributes
    ----------
    ids, positions : torch.Tensor, shape=(t,)
        Each token's id, and its place in its window.
    real : torch.Tensor, shape=(t,)
        True for k-mers that count.
    ends : torch.Tensor, shape=(n + 1,)
        int32; where each window begins, then t.
    longest : int
        Tokens in the longest window.
    """

    ids: Tensor
    positions: Tensor
    real: Tensor
    ends: Tensor
    longest: int


class GpuBert:
    """A :class:`~dnapair.embedding.bert.Bert` on a GPU.

    Parameters
    ----------
    weights, shape
        The BERT.
    pooling
        See :data:`~dnapair.embedding.pooling.Pooling`.
    precision
        ``float32`` or ``bfloat16``, of weights and activations.
    batch_tokens
        The most tokens at a time; None for as many as memory holds.
    device
        ``cuda``; ``cpu`` does the same sums slowly.
    """

    def __init__(
        self,
        weights: Weights,
        shape: BertShape,
        pooling: Pooling,
        precision: str,
        batch_tokens: int | None = None,
        device: str = "cuda",
    ) -> None:
        self._device = torch.device(device)
        self._precision = {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
        self._weights = {
            name: torch.from_numpy(values).to(self._device, self._precision)
            for name, values in weights.items()
        }
        self._shape = shape
        self._pooling = pooling
        self._batch_tokens = batch_tokens or BATCH_TOKENS
        # threads may share it: two at a time would need the memory of two
        self._lock = threading.Lock()
        self._finish = torch.compile(_finish_layer) if self._device.type == "cuda" else _finish_layer

    @torch.inference_mode()
    def run(self, batches: Sequence[Windows]) -> list[NDArray[np.float32]]:
        """Run batches."""
        with self._lock:
            values = self._run(batches)
        return np.split(values, np.cumsum([len(ids) for ids, _ in batches])[:-1])

    def _run(self, batches: Sequence[Windows]) -> NDArray[np.float32]:
        while True:
            try:
                # results stay on the GPU until all is queued: fetching one would make the GPU wait
                parts = [self._forward(packed) for packed in self._pack(batches)]
                values: NDArray[np.float32] = torch.cat(parts).cpu().numpy()
                return values
            except torch.OutOfMemoryError:
                if self._batch_tokens <= self._shape.positions:
                    raise
                self._batch_tokens //= 2
            torch.cuda.empty_cache()
            tqdm.write(
                f"embed: the GPU's memory is full, going on with {self._batch_tokens} tokens at a time"
            )

    def _pack(self, batches: Sequence[Windows]) -> Iterator[Packed]:
        rows = [row for ids, real in batches for row in zip(ids, real, strict=True)]
        ends = np.cumsum([len(ids) for ids, _ in rows])
        first = 0
        while first < len(rows):
            done = ends[first - 1] if first else 0
            last = max(first + 1, int(np.searchsorted(ends, done + self._batch_tokens, side="right")))
            yield self._to_device(rows[first:last])
            first = last

    def _to_device(self, rows: Sequence[tuple[NDArray[np.int32], NDArray[np.bool_]]]) -> Packed:
        lengths = np.array([len(ids) for ids, _ in rows])
        ends = np.concatenate([[0], np.cumsum(lengths)])
        arrays = (
            np.concatenate([ids for ids, _ in rows]),
            np.arange(ends[-1]) - np.repeat(ends[:-1], lengths),
            np.concatenate([real for _, real in rows]),
            ends.astype(np.int32),
        )
        ids, positions, real, places = (self._copy(array) for array in arrays)
        return Packed(ids, positions, real, places, longest=int(lengths.max()))

    def _copy(self, array: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self._device.type == "cpu":
            return tensor
        # from pinned memory the copy runs while the host packs the next batch
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _forward(self, packed: Packed) -> Tensor:
        tokens, positions, segments = (
            self._weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("word", "position", "token_type")
        )
        # every token is of the first segment
        x = tokens[packed.ids] + positions[packed.positions] + segments[0]
        shape = self._shape
        x = functional.layer_norm(x, x.shape[-1:], *self._linear("embeddings.LayerNorm"), shape.epsilon)
        gelu = "tanh" if shape.gelu == "tanh" else "none"
        for number in range(shape.layers):
            layer = f"encoder.layer.{number}"
            weights = [self._linear(f"{layer}.{name}") for name in _AFTER_ATTENTION]
            x = self._finish(x, self._attend(x, layer, packed), weights, shape.epsilon, gelu)
        return self._pool(x.float(), packed)

    def _attend(self, x: Tensor, layer: str, packed: Packed) -> Tensor:
        query, key, value = (
            functional.linear(x, *self._linear(f"{layer}.attention.self.{name}")).view(
                len(x), self._shape.heads, -1
            )
            for name in ("query", "key", "value")
        )
        if self._device.type == "cuda" and self._precision is torch.bfloat16:
            longest = packed.longest
            attended = varlen_attn(query, key, value, packed.ends, packed.ends, longest, longest)
            return cast(Tensor, attended).reshape(len(x), -1)
        windows = []
        for start, stop in pairwise(packed.ends.tolist()):
            q, k, v = (part[start:stop].transpose(0, 1)[None] for part in (query, key, value))
            windows.append(functional.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1))
        return torch.cat(windows).reshape(len(x), -1)

    def _linear(self, name: str) -> tuple[Tensor, Tensor]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def _pool(self, x: Tensor, packed: Packed) -> Tensor:
        # sums by atomic additions would come out otherwise each time
        lengths = packed.ends.diff().long()
        real = packed.real[:, None]
        if self._pooling == "cls":
            return x[packed.ends[:-1].long()]
        if self._pooling == "max":
            return torch.segment_reduce(x.masked_fill(~real, -1e30), "max", lengths=lengths)
        counts = torch.segment_reduce(packed.real.to(x.dtype), "sum", lengths=lengths)
        # a window may hold unknown k-mers only: it weighs nothing
        return torch.segment_reduce(x * real, "sum", lengths=lengths) / counts.clamp(min=1)[:, None]


def _finish_layer(
    x: Tensor, attended: Tensor, weights: Sequence[tuple[Tensor, Tensor]], epsilon: float, gelu: str
) -> Tensor:
    """Do what follows attention: a function of tensors alone, so that all layers share one compilation."""
    output, first_norm, wide, narrow, second_norm = weights
    x = functional.layer_norm(functional.linear(attended, *output) + x, x.shape[-1:], *first_norm, epsilon)
    hidden = functional.gelu(functional.linear(x, *wide), approximate=gelu)
    return functional.layer_norm(functional.linear(hidden, *narrow) + x, x.shape[-1:], *second_norm, epsilon)
