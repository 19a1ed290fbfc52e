"""What a GPU does with dnapair: the engine against the CPU's numbers, its speed, fine-tuning, pretraining.

python benchmarks/gpu.py FOLDER          on one card, under ten minutes
python benchmarks/gpu.py FOLDER --toy    on a CPU, small: whether all of it runs
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from machine import describe_machine

from dnapair.embedding.cpu_bert import CpuBert
from dnapair.embedding.encoder import Encoder, build_untrained
from dnapair.embedding.gpu_bert import GpuBert
from dnapair.finetuning.loop import Watch, train
from dnapair.finetuning.lora import LoraSettings, wrap
from dnapair.finetuning.pairs import Lesson
from dnapair.finetuning.steps import Phase
from dnapair.finetuning.tokens import Tokens
from dnapair.finetuning.towers import BertTower, PairNetwork
from dnapair.pretraining.checkpoint import Standing
from dnapair.pretraining.network import PretrainingNetwork
from dnapair.pretraining.speed import forward_flops, matrix_flops
from dnapair.storage.files import write_json
from dnapair.training.loop import Pairs

SHAPES = ((1, 128, 2), (4, 256, 4), (12, 768, 12))
TOY = ((1, 16, 2), (2, 32, 2))
LORA = LoraSettings(8, 16.0, 0.1, ("query", "key", "value", "dense"))


class Size(NamedTuple):
    """How much is done: shapes, windows at once, k-mers in one, seconds of a measure, pairs, steps."""

    shapes: tuple[tuple[int, int, int], ...]
    windows: int
    length: int
    seconds: float
    pairs: int
    steps: int
    batch: int


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    if not given.toy and not torch.cuda.is_available():
        parser.error("PyTorch sees no GPU here. Add --toy to see that all of it runs on the CPU.")
    device = torch.device("cpu" if given.toy else "cuda")
    size = Size(TOY, 4, 30, 0.05, 24, 2, 8) if given.toy else Size(SHAPES, 1024, 300, 5.0, 4096, 60, 64)
    name = describe_machine() if given.toy else torch.cuda.get_device_name(device)
    peak = matrix_flops(device, torch.bfloat16)
    figures: dict[str, Any] = {"device": name, "bf16_tflops": peak / 1e12, "embed": {}, "finetune": {}}
    for layers, hidden, heads in size.shapes:
        encoder = build_untrained(6, layers, hidden, heads, 1)
        figures["embed"][f"{layers} x {hidden}"] = embedding(encoder, size, device, peak)
    given.folder.mkdir(parents=True, exist_ok=True)
    for kind, lora in (("full", None), ("lora", LORA)):
        figures["finetune"][kind] = finetuning(encoder, size, device, lora, given.folder)
    figures["pretrain_tokens_per_s"] = pretraining(encoder, size, device)
    write_json(given.folder / "gpu.json", figures)
    text = table(figures)
    (given.folder / "gpu.md").write_text(text, encoding="utf-8")
    print(text)


def draw_windows(encoder: Encoder, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows of one length."""
    ids = np.random.default_rng(1).choice(encoder.vocabulary.ids, (count, length + 2)).astype(np.int32)
    ids[:, 0], ids[:, -1] = encoder.vocabulary.cls, encoder.vocabulary.sep
    return ids, np.pad(np.ones((count, length), bool), ((0, 0), (1, 1)))


def embedding(encoder: Encoder, size: Size, device: torch.device, peak: float) -> dict[str, float]:
    """Compare the engine with the CPU's, and time it."""
    ids, real = draw_windows(encoder, size.windows, size.length)
    few = (ids[:8], real[:8])
    expected = CpuBert(encoder.weights, encoder.shape, "mean", "float32").run([few])[0]
    spread = float((expected - expected.mean(0)).std())
    found = {}
    for precision in ("float32", "bfloat16"):
        bert = GpuBert(encoder.weights, encoder.shape, "mean", precision, device=device.type)
        error = float(np.abs(bert.run([few])[0] - expected).mean()) / spread
        found[f"{precision}_error"] = error
        runs = rate(partial(bert.run, [(ids, real)]), size.seconds)
        found[f"{precision}_tokens_per_s"] = ids.size * runs
    config = PretrainingNetwork.of(encoder, 1).bert.config
    found["share_of_bf16"] = found["bfloat16_tokens_per_s"] * forward_flops(config, size.length + 2) / peak
    return found


def rate(run: Callable[[], object], seconds: float) -> float:
    """Return how often a second it runs, once warm."""
    run()
    count, started = 0, time.monotonic()
    while not count or time.monotonic() - started < seconds:
        run()
        count += 1
    return count / (time.monotonic() - started)


def finetuning(
    encoder: Encoder, size: Size, device: torch.device, lora: LoraSettings | None, folder: Path
) -> dict[str, float]:
    """Fine-tune for some steps."""
    rng = np.random.default_rng(1)
    sequences = ["".join(rng.choice(list("ACGT"), size.length + 5)) for _ in range(size.pairs)]
    rows1, rows2 = rng.integers(0, size.pairs, (2, size.pairs))
    pairs = Pairs(rows1, rows2, (np.arange(size.pairs) % 2).astype(np.float32), np.arange(size.pairs))
    tokens = Tokens([sequences], encoder.vocabulary.k, encoder.window)
    lesson = Lesson(pairs, pairs.take(slice(size.batch)), tokens, None, True, True, True)
    bert = PretrainingNetwork.of(encoder, 1).bert
    module = wrap(bert, lora, 1) if lora else bert
    tower = BertTower(module, encoder.vocabulary, tokens, True, device)
    network = PairNetwork(tower, lesson, encoder.dimensions, 1)
    if device.type == "cuda":
        module.compile()
        torch.cuda.reset_peak_memory_stats()
    speeds: list[float] = []
    phase = Phase(
        "bert", size.steps, size.batch, size.batch, 1e-5, 1e-3, 0.01, 1.0, max(1, size.steps // 2), 9, 1
    )
    checkpoint = folder / "checkpoint.safetensors"
    watch = Watch(checkpoint, {}, 1e9, lambda _, step, values: speeds.append(values["pairs_per_s"]))
    train(network, lesson, phase, watch, Standing("bert", 0, 0.0, []), bf16=device.type == "cuda")
    checkpoint.unlink()
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return {"pairs_per_s": speeds[-1], "gib": memory}


def pretraining(encoder: Encoder, size: Size, device: torch.device) -> float:
    """Return the tokens a second of a masked step and its gradient."""
    network = PretrainingNetwork.of(encoder, 1).to(device)
    ids, _ = draw_windows(encoder, min(size.windows, size.batch), size.length)
    inputs = torch.from_numpy(ids.astype(np.int64)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)
    if device.type == "cuda":
        network.bert.compile()

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16):
            logits, wanted = network.guess(inputs, inputs, encoder.vocabulary.cls)
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits.float(), wanted))
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return ids.size * rate(step, size.seconds)


def table(figures: dict[str, Any]) -> str:
    """Return the figures in Markdown."""
    lines = [
        f"On {figures['device']}, which multiplies bfloat16 at {figures['bf16_tflops']:.1f} TFLOP/s.",
        "",
        "| shape | error against the CPU, float32 / bfloat16 | tokens/s, both | share of that rate |",
        "|---|---|---|---|",
        *(
            f"| {shape} | {one['float32_error']:.1e} / {one['bfloat16_error']:.1e} | "
            f"{one['float32_tokens_per_s']:,.0f} / {one['bfloat16_tokens_per_s']:,.0f} | "
            f"{one['share_of_bf16']:.0%} |"
            for shape, one in figures["embed"].items()
        ),
        "",
        "| the last shape | pairs/s | GiB |",
        "|---|---|---|",
        *(
            f"| fine-tuned, {kind} | {one['pairs_per_s']:,.1f} | {one['gib']:.1f} |"
            for kind, one in figures["finetune"].items()
        ),
        "",
        f"Pretraining, masked k-mers: {figures['pretrain_tokens_per_s']:,.0f} tokens/s.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
