"""`dnapair explain`: which bases of a pair carry its score, as a picture and a table."""

from pathlib import Path

from dnapair.data.columns import find_sequences, has_names
from dnapair.data.sequences import normalize
from dnapair.data.spooling import spooled
from dnapair.data.tables import open_table
from dnapair.errors import DnapairError


def explain_row(file: Path, pair: int, output: Path, model: str, window: int) -> None:
    """Explain a pair of a table.

    Parameters
    ----------
    file
        As for :func:`dnapair.commands.predict.predict_file`.
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
    with spooled(file, output) as readable:
        seq1, seq2 = read_pair(readable, pair)
    explain_pair(seq1, seq2, (f"seq1 of pair {pair}", f"seq2 of pair {pair}"), output, model, window)


def read_pair(file: Path, pair: int) -> tuple[str, str]:
    """Read the two sequences of a table's pair, counted from 1.

    Raises
    ------
    DnapairError
        If the file is not right, or has fewer pairs.
    """
    table = open_table(file, has_names)
    columns = list(find_sequences(table))
    passed = 0
    for batch in table.batches(columns):
        if pair <= passed + batch.num_rows:
            first, second = (str(batch[column][pair - passed - 1]) for column in columns)
            return first, second
        passed += batch.num_rows
    raise DnapairError(f"--pair {pair}: {file} has {passed} pair(s).")


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
    if output.suffix != ".png":
        raise DnapairError(f"--output {output}: the name must end in .png.")
    # after the first look at what was given: a mistake is said without waiting for PyTorch and MLflow
    from dnapair.registry.versions import load_scorer
    from dnapair.scoring.mutagenesis import explain, plot_explanation, spell_match, write_table

    explanation = explain(load_scorer(model), normalize(seq1), normalize(seq2), names, window)
    table = output.with_suffix(".csv")
    write_table(explanation, table)
    plot_explanation(explanation, f"scored by {model}", output)
    print(f"{output}, {table}: probability {explanation.probability:.3f} by {model}")
    print("\n".join(spell_match(explanation)))
