"""How fast the networks train, beside each framework's plain way; writes training.md beside this file.

Needs no data: embeddings are drawn.

    python benchmarks/training.py
    python benchmarks/training.py --threads 1            # steadier on a machine that others use too
    python benchmarks/training.py --json training.json   # the figures alone, under flat keys

Plain means: the pair features of every pair in memory, for PyTorch a DataLoader over a TensorDataset and the
usual loop, for Keras `model.fit`, both in float32 by default settings. The network, AdamW with clipping and
the batches are the same. Variants take turns in one process, an epoch each; a figure is the median of the
rounds, a ratio the median of the rounds' ratios.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# first of all that loads TensorFlow, because it chooses the backend and keeps the start quiet
from dnapair.networks.tensorflow_net import TensorflowNet

# isort: split
import keras
import numpy as np
import tensorflow as tf
import torch
from machine import describe_machine
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from dnapair.machine.processor import has_bfloat16
from dnapair.networks.features import combine
from dnapair.networks.spec import NetworkSpec
from dnapair.networks.torch_net import TorchNet
from dnapair.networks.weights import initial_weights
from dnapair.params import Params, load_params
from dnapair.storage.files import write_json
from dnapair.storage.matrix import Matrix, MatrixFile
from dnapair.training.frameworks import make_learner
from dnapair.training.learner import ADAM_EPSILON, LearnerSettings, Precision
from dnapair.training.loop import BLOCK_BATCHES, LoopSettings, Matrices, Pairs, fit

ROOT = Path(__file__).parents[1]
DIMENSIONS = {128: "the shipped encoder", 768: "DNABERT"}
FRAMEWORKS = {"torch": "PyTorch", "tensorflow": "TensorFlow"}
SEQUENCES = 5000
VALIDATION_PAIRS = 64
POSITIVE_WEIGHT = 2.0
MANY_PAIRS, MANY_SEQUENCES, TRAINED_SHARE = 1_000_000, 500_000, 0.05

Epoch = Callable[[], object]


def main() -> None:
    """Measure, print, write training.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=5120, help="pairs in an epoch")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of each framework")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    params = load_params(ROOT / "params.yaml")
    figures: dict[str, float | str] = {"train.machine": describe_machine()}
    lines = [
        "# How fast the networks train",
        "",
        f"On {figures['train.machine']}, {arguments.threads} thread(s), {arguments.rounds} rounds of "
        f"{arguments.pairs} pairs, batches of {params.train.batch_size}. `train.precision: auto` means "
        f"{'bfloat16' if has_bfloat16() else 'float32'} here. Made by:",
        "",
        "```bash",
        f"python benchmarks/training.py --threads {arguments.threads}",
        "```",
        "",
        "Plain: features in memory, a DataLoader and the usual loop in PyTorch, `model.fit` in Keras.",
        "",
        "| | pairs/s | x plain |",
        "|---|---|---|",
    ]
    for framework, title in FRAMEWORKS.items():
        for dimensions, encoder in DIMENSIONS.items():
            seconds = measure(framework, dimensions, params, arguments.pairs, arguments.rounds)
            for name, rounds in seconds.items():
                rate = arguments.pairs / statistics.median(rounds)
                ratio = statistics.median(
                    plain / own for plain, own in zip(seconds["plain"], rounds, strict=True)
                )
                lines.append(f"| {title}, {dimensions} ({encoder}), {name} | {rate:,.0f} | {ratio:.2f} |")
                key = f"train.{framework}.{dimensions}.{name.split()[-1]}"
                figures |= {f"{key}.pairs_per_s": rate, f"{key}.x_plain": ratio}
        figures[f"train.{framework}.x_plain"] = min(
            float(figures[f"train.{framework}.{dimensions}.auto.x_plain"]) for dimensions in DIMENSIONS
        )
    lines += [
        "",
        f"A shuffled pass over {MANY_PAIRS:,} pairs of {MANY_SEQUENCES:,} sequences, PyTorch, the matrix "
        "read by rows from the page cache. Reading is the gathering of all rows, with no training beside "
        f"it; training is {TRAINED_SHARE:.0%} of the pass, scaled to the whole, with its reading in the "
        "background.",
        "",
        "| | training, s | reading alone, s | share |",
        "|---|---|---|---|",
    ]
    for dimensions, dtype in ((128, np.float32), (128, np.float16), (768, np.float32), (768, np.float16)):
        whole, reading = long_pass(dimensions, dtype, params)
        lines.append(
            f"| {dimensions}, {np.dtype(dtype)} | {whole:.0f} | {reading:.1f} | {reading / whole:.1%} |"
        )
        figures[f"train.gather_share_1m.{dimensions}.{np.dtype(dtype)}"] = reading / whole
    figures["train.gather_share_1m"] = max(
        float(value) for key, value in figures.items() if key.startswith("train.gather_share_1m.")
    )
    text = "\n".join([*lines, ""])
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if arguments.json:
        write_json(arguments.json, figures)


def measure(
    framework: str, dimensions: int, params: Params, pairs: int, rounds: int
) -> dict[str, list[float]]:
    """Return the seconds of each variant's epochs; the first epoch of each is not counted."""
    rng = np.random.default_rng(1)
    matrix = rng.uniform(-1, 1, (SEQUENCES, dimensions)).astype(np.float32)
    train = draw_pairs(rng, SEQUENCES, pairs)
    spec = specify(dimensions, params)
    make_plain = plain_torch if framework == "torch" else plain_keras
    precisions: dict[str, Precision] = {"dnapair, float32": "float32", "dnapair, auto": "auto"}
    variants = {"plain": make_plain(spec, params, matrix, train)} | {
        name: own(framework, spec, params, matrix, train, precision) for name, precision in precisions.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(rounds + 1):
        for name, epoch in variants.items():
            started = time.perf_counter()
            epoch()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def specify(dimensions: int, params: Params) -> NetworkSpec:
    """Return the default network on embeddings alone."""
    network = params.network.model_dump(exclude={"inputs"}) | {"symmetric": True}
    return NetworkSpec.from_json({"dimensions": dimensions, **network})


def own(
    framework: str, spec: NetworkSpec, params: Params, matrix: Matrix, train: Pairs, precision: Precision
) -> Epoch:
    """Return an epoch of dnapair's, with a few validation pairs."""
    fields = params.train.model_dump() | {"positive_weight": POSITIVE_WEIGHT, "precision": precision}
    learner = make_learner(framework, spec, LearnerSettings.of(fields))
    loop = LoopSettings.of(fields | {"epochs": 1})
    val = train.take(slice(VALIDATION_PAIRS))
    return lambda: fit(learner, Matrices(matrix), train, val, loop)


def plain_torch(spec: NetworkSpec, params: Params, matrix: np.ndarray, train: Pairs) -> Epoch:
    """Return an epoch of a DataLoader and the usual loop."""
    settings = params.train
    features = np.concatenate(combine(matrix[train.rows1], matrix[train.rows2], spec.symmetric), axis=1)
    data = TensorDataset(torch.from_numpy(features), torch.from_numpy(train.labels))
    batches = DataLoader(data, batch_size=settings.batch_size, shuffle=True)
    net = TorchNet(spec)
    net.set_weights(initial_weights(spec, settings.seed))
    for block in net.blocks:
        # PyTorch's own, not ours
        block.dropout = torch.nn.Dropout(spec.dropout)
    optimizer = torch.optim.AdamW(
        net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, eps=ADAM_EPSILON
    )
    weight = torch.tensor(POSITIVE_WEIGHT)

    def epoch() -> None:
        net.train()
        for inputs, labels in batches:
            optimizer.zero_grad()
            logits = net.head(net.blocks(inputs)).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
            optimizer.step()

    return epoch


def plain_keras(spec: NetworkSpec, params: Params, matrix: np.ndarray, train: Pairs) -> Epoch:
    """Return an epoch of `model.fit`."""
    settings = params.train
    features = np.concatenate(combine(matrix[train.rows1], matrix[train.rows2], spec.symmetric), axis=1)
    whole = TensorflowNet(spec).model
    # from the features on, the layers of the same network
    net = keras.Model(whole.get_layer("features").output, whole.output)
    net.compile(
        optimizer=keras.optimizers.AdamW(
            settings.learning_rate,
            weight_decay=settings.weight_decay,
            epsilon=ADAM_EPSILON,
            global_clipnorm=settings.clip_norm,
        ),
        loss=lambda labels, logits: tf.reduce_mean(
            tf.nn.weighted_cross_entropy_with_logits(labels, logits, POSITIVE_WEIGHT)
        ),
    )
    return lambda: net.fit(features, train.labels, batch_size=settings.batch_size, shuffle=True, verbose=0)


def long_pass(dimensions: int, dtype: type, params: Params) -> tuple[float, float]:
    """Return the seconds of one shuffled pass of training, and of gathering its rows alone."""
    rng = np.random.default_rng(1)
    spec = specify(dimensions, params)
    train = draw_pairs(rng, MANY_SEQUENCES, MANY_PAIRS)
    some = train.take(slice(int(TRAINED_SHARE * MANY_PAIRS)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "matrix.npy")
        written = np.lib.format.open_memmap(path, "w+", dtype, (MANY_SEQUENCES, dimensions))
        for start in range(0, MANY_SEQUENCES, 10_000):
            written[start : start + 10_000] = rng.uniform(-1, 1, (10_000, dimensions))
        del written
        matrix = MatrixFile(path)
        epoch = own("torch", spec, params, matrix, some, "auto")
        order = rng.permutation(MANY_PAIRS)
        started = time.perf_counter()
        for chosen in np.array_split(order, MANY_PAIRS // (BLOCK_BATCHES * params.train.batch_size)):
            for rows in (train.rows1[chosen], train.rows2[chosen]):
                matrix[rows].astype(np.float32, copy=False)
        reading = time.perf_counter() - started
        started = time.perf_counter()
        epoch()
        return (time.perf_counter() - started) / TRAINED_SHARE, reading


def draw_pairs(rng: np.random.Generator, sequences: int, pairs: int) -> Pairs:
    """Draw pairs, a third of them related."""
    rows1, rows2 = rng.integers(0, sequences, (2, pairs))
    return Pairs(rows1, rows2, (np.arange(pairs) % 3 == 0).astype(np.float32))


if __name__ == "__main__":
    main()
