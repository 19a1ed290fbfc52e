"""`dnapair drift`: whether a table of pairs is like what a model was trained on."""

from pathlib import Path

from tqdm import tqdm

from dnapair.checks.facts import Fact
from dnapair.commands.pair_table import PairTable
from dnapair.data.sequences import normalize
from dnapair.data.spooling import spooled
from dnapair.errors import DnapairError
from dnapair.storage.files import atomic_file, check_place, write_json

_CHUNK = 4096


def run(
    file: Path,
    model: str,
    output: Path | None,
    columns: str | None = None,
    sequences: Path | None = None,
    genome: Path | None = None,
    width: int | None = None,
) -> bool:
    """Hold the sequences of a table to the train sequences of a model, in constant memory.

    Parameters
    ----------
    file
        As for :class:`~dnapair.commands.pair_table.PairTable`.
    model
        Address of a dnapair model that MLflow knows.
    output
        The page, .html; its numbers go to a .json beside it. None: neither.
    columns, sequences, genome, width
        As for :class:`~dnapair.commands.pair_table.PairTable`.

    Returns
    -------
    bool
        Whether all is in the range that the model was trained on.

    Raises
    ------
    DnapairError
        If the file, the output's name or the model is not right; nothing is written then.
    """
    if output is not None and output.suffix != ".html":
        raise DnapairError(f"--output {output}: the name must end in .html.")
    for path in (output, output.with_suffix(".json")) if output is not None else ():
        check_place(path, "--output")
    with spooled(file, output) as readable:
        return _watch(file, PairTable(readable, columns, sequences, genome, width), model, output)


def _watch(file: Path, table: PairTable, model: str, output: Path | None) -> bool:
    """Do it with a file in place of a pipe, which keeps its name in what is said."""
    # after the first look at the table: a wrong one is said without waiting for PyTorch
    from dnapair.checks.drift import Watch
    from dnapair.checks.expectations import check_input
    from dnapair.registry.loading import load_scorer

    scorer = load_scorer(model)
    if scorer.reference is None:
        raise DnapairError(
            f"{model} does not hold what its train sequences are like: an earlier dnapair registered it. "
            "Register it again (dnapair register), and promote that version: dnapair models promote VERSION "
            '--force --reason "..."'
        )
    table.find(scorer.settings.columns, scorer.settings.width)
    scorer.watch = Watch(scorer.reference)
    pairs = refused = seen = 0
    example = ""
    with tqdm(desc="drift", unit=" pairs", dynamic_ncols=True, disable=None) as bar:
        for batch in table.table.batches(table.columns):
            for start in range(0, batch.num_rows, _CHUNK):
                part = batch.slice(start, _CHUNK)
                names: dict[str, str] = {}
                first, second = ([normalize(value) for value in side] for side in table.sides(part, pairs))
                for name, side in zip(table.columns, (first, second), strict=True):
                    for place, sequence in enumerate(side, start=pairs + 1):
                        names.setdefault(sequence, f"{name} of pair {place}")
                accepted = {sequence: name for sequence, name in names.items() if scorer.accepts(sequence)}
                scorer.observe(first, second, accepted)
                seen += len(names)
                refused += len(names) - len(accepted)
                if refused and not example:
                    example = next(name for sequence, name in names.items() if sequence not in accepted)
                pairs += part.num_rows
                bar.update(part.num_rows)
    facts = [_refused_fact(refused, seen, example), *scorer.watch.facts()]
    outcome = check_input(
        facts,
        f"{file}, {pairs:,} pairs, against what {model} was trained on.",
        f"Numbers over {seen:,} sequences (those that repeat near each other count once).",
    )
    if output is not None:
        write_json(
            output.with_suffix(".json"),
            {
                "model": model,
                "pairs": pairs,
                "refused_sequences": refused,
                "expectations": outcome.expectations,
                "failures": outcome.failures,
                "input": scorer.watch.report(),
            },
        )
        with atomic_file(output) as temporary:
            temporary.write_text(outcome.page, encoding="utf-8", errors="backslashreplace")
    said = "\n".join(f"  {failure}" for failure in outcome.failures)
    print(
        f"{file}: {pairs} pairs left the range that {model} was trained on:\n{said}"
        if outcome.failures
        else f"{file}: {pairs} pairs are in the range that {model} was trained on"
    )
    return not outcome.failures


def _refused_fact(refused: int, sequences: int, example: str) -> Fact:
    return Fact(
        "sequences that can be scored",
        "The model refuses no sequence (too short for a k-mer, or with letters that it was not trained on).",
        "Sequences that the model refuses, as dnapair predict will",
        refused,
        0,
        0,
        f"of {sequences:,}; first: {example}" if refused else "",
    )
