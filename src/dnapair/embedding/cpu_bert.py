"""BERT on a CPU, by OpenVINO: bfloat16 where the processor has units for it, one stream a core."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from dnapair.embedding.bert import BertShape, Weights, Windows
from dnapair.embedding.pooling import Pooling
from dnapair.machine.processor import cores


class CpuBert:
    """A :class:`~dnapair.embedding.bert.Bert` on a CPU.

    A window's result is the same to the bit whatever else is in its batch, on the processors tried. Threads
    may share it: their batches take turns on the cores.

    Parameters
    ----------
    weights, shape
        The BERT.
    pooling
        See :data:`~dnapair.embedding.pooling.Pooling`.
    precision
        ``float32`` or ``bfloat16``, of weights and activations.
    """

    def __init__(self, weights: Weights, shape: BertShape, pooling: Pooling, precision: str) -> None:
        # as many windows, or batches of them, are worked on at a time
        threads = cores()
        settings = {
            "INFERENCE_PRECISION_HINT": {"bfloat16": "bf16", "float32": "f32"}[precision],
            "NUM_STREAMS": threads,
            "INFERENCE_NUM_THREADS": threads,
            # two processes would pin themselves to the same cores
            "ENABLE_CPU_PINNING": False,
            # what is prepared for each new length of a window is kept: by default until it is gigabytes
            "CPU_RUNTIME_CACHE_CAPACITY": 1000,
        }
        self._compiled = ov.Core().compile_model(_graph(weights, shape, pooling), "CPU", settings)
        self._threads = threads
        # a queue is of one thread, or one would take another's results
        self._own = threading.local()

    def run(self, batches: Sequence[Windows]) -> list[NDArray[np.float32]]:
        """Run batches."""
        # few batches are cut, or a lone pair would keep one core busy and the others idle
        parts = -(-self._threads // max(1, len(batches)))
        cuts = [_cut(len(ids), parts) for ids, _ in batches]
        results: dict[tuple[int, int], NDArray[np.float32]] = {}
        queue = self._queue()
        for number, ((ids, real), cut) in enumerate(zip(batches, cuts, strict=True)):
            mask = real.astype(np.float32)
            for part, rows in enumerate(cut):
                queue.start_async({0: ids[rows], 1: mask[rows]}, (results, (number, part)))
        queue.wait_all()
        return [
            np.concatenate([results[number, part] for part in range(len(cut))])
            for number, cut in enumerate(cuts)
        ]

    def _queue(self) -> Any:
        if not hasattr(self._own, "queue"):
            # one more than work at a time, so that no core waits for the next batch
            self._own.queue = ov.AsyncInferQueue(self._compiled, self._threads + 1)
            self._own.queue.set_callback(_keep)
        return self._own.queue


def _keep(request: Any, place: tuple[dict[tuple[int, int], NDArray[np.float32]], tuple[int, int]]) -> None:
    results, key = place
    results[key] = request.get_output_tensor(0).data.copy()


def _cut(rows: int, parts: int) -> list[slice]:
    """Cut rows into at most so many parts of nearly one size."""
    step = max(1, -(-rows // parts))
    return [slice(start, start + step) for start in range(0, rows, step)]


def _graph(weights: Weights, shape: BertShape, pooling: Pooling) -> ov.Model:
    """Build the graph from token ids and real k-mers, shape=(n, length), to shape=(n, d).

    Source: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers".
    """
    ids = op.parameter([-1, -1], np.int32)
    real = op.parameter([-1, -1], np.float32)
    length = op.gather(op.shape_of(ids), _ints([1]), _ints(0))
    # every token is of the first segment
    positions = (
        weights["embeddings.position_embeddings.weight"]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    tokens = op.gather(op.constant(weights["embeddings.word_embeddings.weight"]), ids, _ints(0))
    x = op.add(tokens, op.slice(op.constant(positions), _ints([0]), length, _ints([1]), _ints([0])))
    x = _norm(x, weights, "embeddings.LayerNorm", shape)
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}"
        attended = _linear(_attention(x, weights, layer, shape), weights, f"{layer}.attention.output.dense")
        x = _norm(op.add(attended, x), weights, f"{layer}.attention.output.LayerNorm", shape)
        wide = op.gelu(_linear(x, weights, f"{layer}.intermediate.dense"), shape.gelu)
        x = _norm(
            op.add(_linear(wide, weights, f"{layer}.output.dense"), x),
            weights,
            f"{layer}.output.LayerNorm",
            shape,
        )
    return ov.Model([op.result(_pool(x, op.unsqueeze(real, _ints(2)), pooling))], [ids, real], "bert")


def _attention(x: Any, weights: Weights, layer: str, shape: BertShape) -> Any:
    size = shape.dimensions // shape.heads

    def heads(name: str) -> Any:
        projected = _linear(x, weights, f"{layer}.attention.self.{name}")
        return op.transpose(
            op.reshape(projected, _ints([0, 0, shape.heads, size]), True), _ints([0, 2, 1, 3])
        )

    query, key, value = heads("query"), heads("key"), heads("value")
    scores = op.multiply(op.matmul(query, key, False, True), op.constant(np.float32(size**-0.5)))
    attended = op.transpose(op.matmul(op.softmax(scores, -1), value, False, False), _ints([0, 2, 1, 3]))
    return op.reshape(attended, _ints([0, 0, shape.dimensions]), True)


def _linear(x: Any, weights: Weights, name: str) -> Any:
    product = op.matmul(x, op.constant(weights[f"{name}.weight"]), False, True)
    return op.add(product, op.constant(weights[f"{name}.bias"]))


def _norm(x: Any, weights: Weights, name: str, shape: BertShape) -> Any:
    normal = op.mvn(x, _ints([-1]), True, shape.epsilon, "inside_sqrt")
    return op.add(
        op.multiply(normal, op.constant(weights[f"{name}.weight"])), op.constant(weights[f"{name}.bias"])
    )


def _pool(x: Any, real: Any, pooling: Pooling) -> Any:
    if pooling == "cls":
        return op.gather(x, _ints(0), _ints(1))
    if pooling == "max":
        lowest = op.constant(np.float32(-1e30))
        return op.reduce_max(
            op.select(op.greater(real, op.constant(np.float32(0))), x, lowest), _ints([1]), False
        )
    count = op.reduce_sum(real, _ints([1]), False)
    # a window may hold unknown k-mers only: it weighs nothing
    return op.divide(
        op.reduce_sum(op.multiply(x, real), _ints([1]), False), op.maximum(count, op.constant(np.float32(1)))
    )


def _ints(values: int | list[int]) -> Any:
    return op.constant(np.array(values, np.int64))
