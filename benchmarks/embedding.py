"""How fast sequences become embeddings, beside the usual ways; prints a table, and writes JSON where asked.

Needs the extra `bench` (pip install --constraint constraints.txt -e '.[bench]') and no data:

    python benchmarks/embedding.py
    python benchmarks/embedding.py --shapes mini --rounds 3 --json embedding.json

Every variant starts from raw DNA and ends with one vector a sequence, the mean over one strand. Variants take
turns in one process; a figure is the median of the rounds, a ratio the median of the rounds' ratios. `err` is
the mean absolute difference to Hugging Face in float32, over the spread of embeddings between sequences.
The limit is what this machine's own matrix products reach in bfloat16, in the same run.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import numpy as np
import openvino as ov
import torch
from machine import describe_machine
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from tqdm import tqdm
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging as transformers_logging

from dnapair.embedding.checkpoint import load_encoder
from dnapair.embedding.embedder import Embedder
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.storage.files import write_json

ROOT = Path(__file__).parents[1]
K = 6


class Shape(NamedTuple):
    """An encoder, and how many sequences it gets in a round."""

    title: str
    make: Callable[[], Encoder]
    mixed: int
    full: int


SHAPES = {
    "base": Shape(
        "12 x 768, the shape of DNABERT-6", lambda: build_untrained(K, 12, 768, 12, seed=1), 32, 16
    ),
    "small": Shape("4 x 256", lambda: build_untrained(K, 4, 256, 4, seed=1), 256, 128),
    "mini": Shape(
        "1 x 128, the shipped encoder",
        lambda: load_encoder(str(ROOT / "encoders" / "dnabert6-mini")),
        1024,
        512,
    ),
}
BATCH = 32
LENGTHS = (50, 100, 200, 300, 500, 1000)
ROUNDS = 5

Variant = Callable[[list[str]], NDArray[np.float32]]


def main() -> None:
    """Measure every shape on both workloads, print the table, write all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, default=None, help="where the figures go")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    # it reports the pooler, which none of the variants uses
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    figures: dict[str, float] = {}
    for name in arguments.shapes:
        figures |= measure(name, SHAPES[name], arguments.rounds)
    if arguments.json:
        write_json(arguments.json, figures)


def measure(name: str, shape: Shape, rounds: int) -> dict[str, float]:
    """Run all variants of a shape in turn, print their tables, return the figures."""
    rng = np.random.default_rng(1)
    workloads = {
        "mix": draw(rng, rng.integers(100, 501, shape.mixed)),
        "full": draw(rng, np.full(shape.full, 510 + K - 1)),
    }
    encoder = shape.make()
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder))
        variants = make_variants(encoder, folder)
        figures: dict[str, float] = {}
        for workload, sequences in workloads.items():
            figures |= compare(f"{name}.{workload}", shape, encoder, variants, sequences, rounds)
    return figures | by_length(name, shape, variants["ours"], rounds)


def by_length(name: str, shape: Shape, run: Variant, rounds: int) -> dict[str, float]:
    """Measure how many sequences of one length become embeddings in a second, print the table."""
    rng = np.random.default_rng(2)
    print(f"\n## {shape.title}; sequences/s by length, one strand\n")
    print("| bp | " + " | ".join(map(str, LENGTHS)) + " |\n|---|" + "---|" * len(LENGTHS))
    rates = []
    for length in LENGTHS:
        sequences = draw(rng, np.full(max(8, shape.full * 512 // length), length))
        run(sequences)
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            run(sequences)
            times.append(time.perf_counter() - started)
        rates.append(len(sequences) / statistics.median(times))
    print("| sequences/s | " + " | ".join(f"{rate:,.1f}" for rate in rates) + " |")
    return {
        f"{name}.length_{length}.sequences_s": round(rate, 1)
        for length, rate in zip(LENGTHS, rates, strict=True)
    }


def draw(rng: np.random.Generator, lengths: NDArray[np.int64]) -> list[str]:
    """Draw sequences of the given numbers of bases."""
    return ["".join(rng.choice(list("ACGT"), length)) for length in lengths]


def compare(
    key: str, shape: Shape, encoder: Encoder, variants: dict[str, Variant], sequences: list[str], rounds: int
) -> dict[str, float]:
    """Run the variants on one workload, in turn, and print their table."""
    tokens = sum(len(sequence) - K + 3 for sequence in sequences)
    work = sum(flops(encoder, len(sequence) - K + 3) for sequence in sequences)
    expected = variants["batch1"](sequences)
    spread = expected.std(axis=0).mean()
    errors = {
        name: float(np.abs(run(sequences) - expected).mean() / spread) for name, run in variants.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    limits = []
    for _ in tqdm(range(rounds), desc=key, unit="round", dynamic_ncols=True, disable=None):
        limits.append(gemm_limit())
        for name, run in variants.items():
            started = time.perf_counter()
            run(sequences)
            seconds[name].append(time.perf_counter() - started)
    limit = statistics.median(limits)
    print(f"\n## {shape.title}; {'100 to 500 bp' if key.endswith('mix') else '512 tokens'}\n")
    print(f"{describe_machine()}; limit {limit / 1e9:.0f} GFLOP/s; {work / tokens / 1e6:.1f} MFLOP a token\n")
    print(
        "| variant | tokens/s | sequences/s | x batch 1 | share of limit | err |\n|---|---|---|---|---|---|"
    )
    figures = {f"{key}.limit_gflops": round(limit / 1e9, 1)}
    for name, times in seconds.items():
        ratios = [first / own for first, own in zip(seconds["batch1"], times, strict=True)]
        rate = tokens / statistics.median(times)
        found = {
            "tokens_s": round(rate),
            "x_batch1": round(statistics.median(ratios), 2),
            "limit_share": round(rate * work / tokens / limit, 3),
            "err": round(errors[name], 4),
        }
        figures |= {f"{key}.{name}.{figure}": value for figure, value in found.items()}
        print(
            f"| {TITLES[name]} | {rate:,.0f} | {rate * len(sequences) / tokens:,.1f} | "
            f"{found['x_batch1']:.2f} | {found['limit_share']:.0%} | {errors[name]:.2%} |"
        )
    return figures


TITLES = {
    "batch1": "Hugging Face, float32, one sequence at a time",
    "padded512": "Hugging Face, float32, batches of 32 padded to 512",
    "sentence_transformers": "sentence-transformers, float32",
    "sentence_transformers_bf16": "sentence-transformers, bfloat16",
    "openvino": "OpenVINO's own conversion, bfloat16, one sequence at a time",
    "ours_f32": "dnapair, float32",
    "ours": "dnapair, auto",
}


def make_variants(encoder: Encoder, folder: str) -> dict[str, Variant]:
    """Return what turns sequences into vectors, shape=(n, d), by the names of :data:`TITLES`."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    bert = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()

    @torch.inference_mode()
    def batch1(sequences: list[str]) -> NDArray[np.float32]:
        vectors = []
        for sequence in sequences:
            hidden = bert(**tokenizer(kmers(sequence), return_tensors="pt")).last_hidden_state
            vectors.append(hidden[0, 1:-1].mean(0))
        return torch.stack(vectors).numpy()

    @torch.inference_mode()
    def padded512(sequences: list[str]) -> NDArray[np.float32]:
        vectors = []
        for start in range(0, len(sequences), BATCH):
            texts = [kmers(sequence) for sequence in sequences[start : start + BATCH]]
            inputs = tokenizer(
                texts, padding="max_length", max_length=512, truncation=True, return_tensors="pt"
            )
            hidden = bert(**inputs).last_hidden_state
            # the original averaged over padding too; over the k-mers alone its error can be compared
            real = (inputs["input_ids"] > 4).float()[:, :, None]
            vectors.append((hidden * real).sum(1) / real.sum(1))
        return torch.cat(vectors).numpy()

    return {
        "batch1": batch1,
        "padded512": padded512,
        "sentence_transformers": sentence_transformers(folder, torch.float32),
        "sentence_transformers_bf16": sentence_transformers(folder, torch.bfloat16),
        "openvino": openvino(bert, tokenizer),
        "ours_f32": Embedder(encoder, "mean", "forward", normalize=False, precision="float32").embed,
        "ours": Embedder(encoder, "mean", "forward", normalize=False).embed,
    }


def kmers(sequence: str) -> str:
    """Write a sequence as DNABERT's tokenizer wants it."""
    return " ".join(sequence[start : start + K] for start in range(len(sequence) - K + 1))


def sentence_transformers(folder: str, precision: torch.dtype) -> Variant:
    """Return sentence-transformers' own way: batches sorted by length, mean over all tokens."""
    transformer = modules.Transformer(folder, max_seq_length=512, model_kwargs={"dtype": precision})
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="mean")
    model = SentenceTransformer(modules=[transformer, pooling], device="cpu")

    def embed(sequences: list[str]) -> NDArray[np.float32]:
        texts = [kmers(sequence) for sequence in sequences]
        vectors = model.encode(texts, batch_size=BATCH, show_progress_bar=False, convert_to_tensor=True)
        values: NDArray[np.float32] = vectors.float().cpu().numpy()
        return values

    return embed


def openvino(bert: BertModel, tokenizer: Any) -> Variant:
    """Return what a user of OpenVINO gets: the model converted as it is, with throughput as the goal."""

    class Mean(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            mean: torch.Tensor = self.bert(input_ids=ids).last_hidden_state[:, 1:-1].mean(1)
            return mean

    model = ov.convert_model(Mean().eval(), example_input=torch.ones(1, 64, dtype=torch.int64))
    model.reshape({0: [-1, -1]})
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"}
    queue = ov.AsyncInferQueue(ov.Core().compile_model(model, "CPU", settings))

    def embed(sequences: list[str]) -> NDArray[np.float32]:
        vectors: dict[int, NDArray[np.float32]] = {}
        queue.set_callback(
            lambda request, number: vectors.update({number: request.get_output_tensor(0).data[0].copy()})
        )
        for number, sequence in enumerate(sequences):
            queue.start_async({0: tokenizer(kmers(sequence), return_tensors="np")["input_ids"]}, number)
        queue.wait_all()
        return np.stack([vectors[number] for number in range(len(sequences))])

    return embed


def flops(encoder: Encoder, length: int) -> float:
    """Count the multiplications and additions of matrix products for a sequence of so many tokens."""
    shape = encoder.shape
    width, wide = shape.dimensions, encoder.config["intermediate_size"]
    per_token = 2 * (4 * width**2 + 2 * width * wide) + 4 * length * width
    return float(shape.layers * length * per_token)


def gemm_limit() -> float:
    """Return the FLOP/s of this machine's fastest large product of matrices in bfloat16, all cores."""
    best = 0.0
    for size in (2048, 4096):
        a, b = (torch.rand(size, size).to(torch.bfloat16) for _ in range(2))
        for _ in range(4):
            started = time.perf_counter()
            a @ b.T
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


if __name__ == "__main__":
    main()
