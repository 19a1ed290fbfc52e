"""The command line: one verb for each stage and tool, and no logic.

Imports stay inside the commands, so that `dnapair --help` answers at once.
"""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import typer

from dnapair import __version__
from dnapair.commands.models import app as models
from dnapair.commands.options import TABLE, Framework, Genome, Model, PairNames, Sequences, Width, champion
from dnapair.errors import DnapairError, message, printable
from dnapair.machine.encoding import use_utf8
from dnapair.machine.ending import program
from dnapair.machine.environment import set_environment
from dnapair.machine.user import missing_variables

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_RECORDERS = {"botocore", "mlflow", "requests", "sqlalchemy", "urllib3"}

STAGES = "Stages (dvc repro runs them in this order)"
TOOLS = "Tools"


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dnapair {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print dnapair's version."),
    ] = False,
) -> None:
    """Tells related DNA from unrelated DNA."""


@app.command(rich_help_panel=STAGES)
def locate(source: Literal["data", "encoder", "genome"]) -> None:
    """Find what data.path, data.genome or encoder.source points at, for DVC to see when it changes."""
    from dnapair.stages import locate as stage

    stage.run(source)


@app.command(rich_help_panel=STAGES)
def prepare() -> None:
    """Read the raw data, check it, drop duplicates, split it."""
    from dnapair.stages import prepare as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def interact() -> None:
    """Describe how the two sequences of each pair meet, base by base; goes on where it was stopped."""
    from dnapair.stages import interact as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def finetune() -> None:
    """Let the encoder learn from the train pairs (finetune.method); goes on where it was stopped."""
    from dnapair.stages import finetune as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def embed() -> None:
    """Turn each unique sequence into a DNABERT embedding; goes on where it was stopped."""
    from dnapair.stages import embed as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def scale() -> None:
    """Scale embeddings and interactions to [-1, 1] by what train spans."""
    from dnapair.stages import scale as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def validate() -> None:
    """Check every scaled value and every pair, and audit the splits for leaks."""
    from dnapair.stages import validate as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def tune() -> None:
    """Search the network's hyperparameters with Keras Tuner."""
    from dnapair.stages import tune as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def train(framework: Framework) -> None:
    """Train the residual network."""
    from dnapair.stages import train as stage

    stage.run(framework)


@app.command(rich_help_panel=STAGES)
def score() -> None:
    """Score the validation and test pairs with the trained networks."""
    from dnapair.stages import score as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def baselines() -> None:
    """Fit what needs no network on the same train pairs, and score the same pairs."""
    from dnapair.stages import baselines as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def crossvalidate() -> None:
    """Train and test anew for each fold over the groups (evaluate.folds)."""
    from dnapair.stages import crossvalidate as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def evaluate() -> None:
    """Say how good, how sure, better than what, and where they fail: reports/FRAMEWORK/report.html."""
    from dnapair.stages import evaluate as stage

    stage.run()


@app.command(rich_help_panel=STAGES)
def register() -> None:
    """Register the better model; it becomes champion if the gate lets it through."""
    from dnapair.stages import register as stage

    stage.run()


@app.command(
    rich_help_panel=TOOLS,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def run(
    context: typer.Context,
    stages: Annotated[
        list[str] | None, typer.Argument(help="Stages to bring up to date; all by default.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show all that DVC and the stages print.")
    ] = False,
) -> None:
    """Run the pipeline as one MLflow run. Settings for this run: --train.epochs 3."""
    from dnapair.commands import run as tool

    tool.run([*(stages or []), *context.args], verbose=verbose)


@app.command(
    rich_help_panel=TOOLS,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def use(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="A folder or a file; s3:// and https:// work too.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look and tell, and change nothing.")] = False,
) -> None:
    """Look at data of your own and put them in place of the present data; settings: --split.method random."""
    from dnapair.commands import use as tool

    tool.run([source, *context.args], dry=dry_run)


@app.command(rich_help_panel=TOOLS)
def predict(
    file: Annotated[Path, TABLE],
    output: Annotated[
        Path,
        typer.Option(help="Where the table with probability and label goes: .csv, .tsv (.gz too), .parquet."),
    ],
    columns: PairNames = None,
    sequences: Sequences = None,
    genome: Genome = None,
    width: Width = None,
    model: Model = None,
    chunk: Annotated[int, typer.Option(min=1, help="Pairs scored, and kept, at a time.")] = 4096,
    cache_mb: Annotated[
        int, typer.Option(min=0, help="Memory for embeddings of sequences that come again.")
    ] = 500,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Probability from which label is 1, in place of the model's own."),
    ] = None,
) -> None:
    """Score a file of pairs of raw DNA, of any size; goes on where it was stopped."""
    from dnapair.commands import predict as tool

    where = (columns, sequences, genome, width)
    tool.predict_file(file, output, model or champion(), chunk, cache_mb, *where, threshold)


@app.command(rich_help_panel=TOOLS)
def drift(
    file: Annotated[Path, TABLE],
    columns: PairNames = None,
    sequences: Sequences = None,
    genome: Genome = None,
    width: Width = None,
    model: Model = None,
    output: Annotated[
        Path | None, typer.Option(help="Where the page goes: .html. Its numbers go to a .json beside it.")
    ] = None,
) -> None:
    """Say whether a file of pairs is like what a model was trained on; exit code 1 if not."""
    from dnapair.commands import drift as tool

    if not tool.run(file, model or champion(), output, columns, sequences, genome, width):
        raise typer.Exit(1)


@app.command(rich_help_panel=TOOLS)
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; 0.0.0.0: on every network of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: a free one, which is printed.")] = 5001,
    max_pairs: Annotated[int | None, typer.Option(min=1, help="In place of serve.max_pairs.")] = None,
    max_bases: Annotated[int | None, typer.Option(min=1, help="In place of serve.max_bases.")] = None,
    max_megabytes: Annotated[
        float | None, typer.Option(min=1e-6, max=1000, help="In place of serve.max_megabytes.")
    ] = None,
    max_waiting: Annotated[int | None, typer.Option(min=0, help="In place of serve.max_waiting.")] = None,
) -> None:
    """Serve the model: MLflow's scoring protocol on POST /invocations, with limits (see docs/serving.md)."""
    from dnapair.serving import server as tool

    settings = tool.read_settings(
        max_pairs=max_pairs, max_bases=max_bases, max_megabytes=max_megabytes, max_waiting=max_waiting
    )
    tool.serve(model or champion(), host, port, settings)


@app.command(rich_help_panel=TOOLS)
def compare(
    first: Annotated[str, typer.Argument(help="A run: its id, the first letters of it, or its name.")],
    second: Annotated[str, typer.Argument(help="The run to hold against it.")],
) -> None:
    """Print what the second run has gained on the first, pair by pair, with intervals."""
    from dnapair.commands import compare as tool

    tool.run(first, second)


@app.command(rich_help_panel=TOOLS)
def explain(
    file: Annotated[Path | None, TABLE] = None,
    pair: Annotated[int, typer.Option(min=1, help="Which pair of the table, from 1.")] = 1,
    columns: PairNames = None,
    sequences: Sequences = None,
    genome: Genome = None,
    width: Width = None,
    seq1: Annotated[str | None, typer.Option(help="In place of a table: the first sequence.")] = None,
    seq2: Annotated[str | None, typer.Option(help="... and the second.")] = None,
    output: Annotated[
        Path, typer.Option(help="Where the picture goes: .png. Its numbers go to a .csv beside it.")
    ] = Path("explained.png"),
    model: Model = None,
    window: Annotated[
        int, typer.Option(min=1, help="Bases replaced at a time: N of them take an N-th of the time.")
    ] = 1,
) -> None:
    """Draw which bases of a pair carry its score, by replacing each."""
    from dnapair.commands import explain as tool

    if file is not None and seq1 is None and seq2 is None:
        where = (columns, sequences, genome, width)
        tool.explain_row(file, pair, output, model or champion(), window, *where)
    elif file is None and seq1 is not None and seq2 is not None:
        tool.explain_pair(seq1, seq2, ("--seq1", "--seq2"), output, model or champion(), window)
    else:
        raise DnapairError("Give either a table, or both --seq1 and --seq2.")


@app.command(rich_help_panel=TOOLS)
def make_pairs(
    fasta: Annotated[
        list[Path], typer.Argument(help="FASTA of many genomes: files, packed too, or folders of them.")
    ],
    output: Annotated[Path, typer.Option(help="A new folder for the data set.")],
    pairs: Annotated[int, typer.Option(min=1, help="Pairs to make.")],
    genome: Annotated[
        str, typer.Option(help="Regular expression: its group is a header's genome.")
    ] = r"genome=(\S+)|ref\|([^|]+)\|",
    only: Annotated[
        str | None, typer.Option(help="Regular expression that a genome's name must have: ^NC_")
    ] = None,
    length: Annotated[int, typer.Option(min=1, help="Bases in a fragment, one fragment a record.")] = 500,
    min_fragments: Annotated[int, typer.Option(min=2, help="Genomes with fewer are left out.")] = 8,
    max_fragments: Annotated[
        int | None, typer.Option(min=2, help="Fragments of one genome at most; all by default.")
    ] = None,
    sequences: Annotated[
        int | None, typer.Option(min=2, help="Fragments in all at most; all by default.")
    ] = None,
    positive: Annotated[float, typer.Option(min=0, max=1, help="Share of pairs of one genome.")] = 0.35,
    gc_matched: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the negatives that repeat a positive pair's GC.")
    ] = 0.5,
    gc_tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="How far their GC content may be off.")
    ] = 0.01,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the genomes and pairs.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the genomes and pairs.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 1,
) -> None:
    """Make a data set of labelled pairs of fragments from FASTA of many genomes, split by genome."""
    from dnapair.commands import make_pairs as tool
    from dnapair.data.pair_making.settings import Settings

    settings = Settings(
        genome=genome,
        only=only,
        length=length,
        min_fragments=min_fragments,
        max_fragments=max_fragments,
        sequences=sequences,
        pairs=pairs,
        positive=positive,
        gc_matched=gc_matched,
        gc_tolerance=gc_tolerance,
        val=val,
        test=test,
        seed=seed,
    )
    tool.run(fasta, output, settings)


@app.command(rich_help_panel=TOOLS)
def pretrain() -> None:
    """Make an encoder from your own FASTA; goes on where it was stopped."""
    from dnapair.commands import pretrain as tool

    tool.run()


@app.command(rich_help_panel=TOOLS)
def export(
    output: Annotated[
        Path, typer.Option(help="Folder for train.npz, val.npz and test.npz, or for the model.")
    ] = Path("exported"),
    format: Annotated[
        Literal["npz", "model"],
        typer.Option(help="npz: the scaled splits, as the original scripts had them. model: what scores."),
    ] = "npz",
    model: Model = None,
) -> None:
    """Write the scaled splits as seq1, seq2 and labels; or a model, to score elsewhere without a registry."""
    from dnapair.commands import export as tool

    if format == "model":
        tool.export_model(model or champion(), output)
    else:
        tool.run(output)


app.add_typer(models, name="models", rich_help_panel=TOOLS)


@app.command(rich_help_panel=TOOLS)
def doctor() -> None:
    """Say whether this machine and this folder have all that dnapair needs."""
    from dnapair.commands import doctor as tool

    if not tool.run():
        raise typer.Exit(1)


def command() -> None:
    """Be the process of a command line."""
    program(main)


def main() -> None:
    """Run the command line; what a user can mend ends with one message and exit code 1."""
    use_utf8()
    set_environment()
    os.environ |= missing_variables()
    if "--help" in sys.argv or len(sys.argv) == 1:
        _leave_out_markdown()
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        shown = _unrecorded(error) or message(error)
        if shown is None:
            raise
        sys.exit(f"dnapair: {printable(shown)}")


def _leave_out_markdown() -> None:
    """Have Typer draw its help without the reader of Markdown, which is half of the wait and reads none."""
    stand_in = ModuleType("rich.markdown")
    stand_in.Markdown = None  # type: ignore[attr-defined]
    sys.modules["rich.markdown"] = stand_in
    import typer.rich_utils  # noqa: F401

    del sys.modules["rich.markdown"]


def _unrecorded(error: Exception) -> str | None:
    """Say that the record failed, where MLflow or what it talks through raised the error; None elsewhere."""
    from dnapair.tracking.wording import StoreError, reason

    # the others are slow to import, so by their names
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if _RECORDERS.isdisjoint(modules) and not isinstance(error, StoreError):
        return None

    return (
        f"the MLflow tracking store did not do what was asked: {reason(error)} What is finished is "
        "kept: the same command goes on from there."
    )
