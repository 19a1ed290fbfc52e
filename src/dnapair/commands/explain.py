"""`dnapair explain`: which bases of a pair carry its score, as a picture and a table."""

from pathlib import Path
from typing import TYPE_CHECKING

from dnapair.commands.pair_table import PairTable
from dnapair.data.sequences import normalize
from dnapair.data.spooling import spooled
from dnapair.errors import DnapairError
from dnapair.storage.files import check_place

if TYPE_CHECKING:
    from dnapair.scoring.scorer import PairScorer


def explain_row(
    file: Path,
    pair: int,
    output: Path,
    model: str,
    window: int,
    columns: str | None = None,
    sequences: Path | None = None,
    genome: Path | None = None,
    width: int | None = None,
) -> None:
    """Explain a pair of a table.

    Parameters
    ----------
    file, columns, sequences, genome, width
        As for :class:`~dnapair.commands.pair_table.PairTable`.
    pair
        Which of its pairs, from 1.
    output, model, window
        As for :func:`explain_pair`.

    Raises
    ------
    DnapairError
        If the file is not right or has no such pair, and as :func:`explain_pair`.
    """
    if output.with_suffix(".csv").resolve() == file.resolve():
        raise DnapairError(
            f"--output {output}: the numbers would be written to {output.with_suffix('.csv')}, "
            "which is the table itself. Choose another name."
        )
    _check_output(output)
    with spooled(file, output) as readable:
        table = PairTable(readable, columns, sequences, genome, width)
        # after the first look at what was given: a mistake is said without waiting for PyTorch
        from dnapair.registry.loading import load_scorer

        scorer = load_scorer(model)
        table.find(scorer.settings.columns, scorer.settings.width)
        seq1, seq2 = read_pair(table, pair)
    first, second = (f"{column} of pair {pair}" for column in table.columns)
    _explain(scorer, seq1, seq2, (first, second), output, model, window)


def read_pair(table: PairTable, pair: int) -> tuple[str, str]:
    """Read the two sequences of a table's pair, counted from 1.

    Raises
    ------
    DnapairError
        If the file is not right, or has fewer pairs.
    """
    passed = 0
    for batch in table.table.batches(table.columns):
        if pair <= passed + batch.num_rows:
            (seq1,), (seq2,) = table.sides(batch.slice(pair - passed - 1, 1), pair - 1)
            return seq1, seq2
        passed += batch.num_rows
    raise DnapairError(f"--pair {pair}: {table.table.path} has {passed} pair(s).")


def explain_pair(seq1: str, seq2: str, names: tuple[str, str], output: Path, model: str, window: int) -> None:
    """Explain a pair, and write the picture and the table.

    Parameters
    ----------
    seq1, seq2
        Raw DNA.
    names
        What to call each in a message.
    output
        The picture, .png; the table has its name and .csv.
    model
        Address of a dnapair model that MLflow knows.
    window
        Bases replaced at a time.

    Raises
    ------
    DnapairError
        If the output's name, a sequence or the model is not right; nothing is written then.
    """
    _check_output(output)
    from dnapair.registry.loading import load_scorer

    _explain(load_scorer(model), seq1, seq2, names, output, model, window)


def _check_output(output: Path) -> None:
    if output.suffix != ".png":
        raise DnapairError(f"--output {output}: the name must end in .png.")
    for path in (output, output.with_suffix(".csv")):
        check_place(path, "--output")


def _explain(
    scorer: "PairScorer",
    seq1: str,
    seq2: str,
    names: tuple[str, str],
    output: Path,
    model: str,
    window: int,
) -> None:
    from dnapair.scoring.mutagenesis import explain, plot_explanation, spell_match, write_table

    explanation = explain(scorer, normalize(seq1), normalize(seq2), names, window)
    table = output.with_suffix(".csv")
    write_table(explanation, table)
    plot_explanation(explanation, f"scored by {model}", output)
    print(f"{output}, {table}: probability {explanation.probability:.3f} by {model}")
    print("\n".join(spell_match(explanation)))
