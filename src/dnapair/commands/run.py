"""`dnapair run`: the DVC pipeline as one MLflow run, with settings for this run alone."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dnapair import tracking
from dnapair.commands import summary
from dnapair.commands.progress import pipeline_stages, watch
from dnapair.commands.repository import check_repository, missing_signature
from dnapair.errors import DnapairError, similar
from dnapair.params import load_params
from dnapair.params.overrides import changed_settings, parse_words, write_settings
from dnapair.registry import versions
from dnapair.stages import paths
from dnapair.stages.imported import DATA, check_present
from dnapair.storage.files import sha256
from dnapair.tracking.recorder import answering
from dnapair.tracking.tags import RECORDER_VARIABLE

PRETRAIN = "pretrain"
_PRETRAIN_TARGET = "encoders/dvc.yaml:pretrain"


def run(arguments: Sequence[str], *, verbose: bool = False) -> None:
    """Bring stages up to date with DVC, under one parent run, and print what came out.

    Parameters
    ----------
    arguments
        Names of stages (none: all), and settings as ``--section.key value`` or ``--section.key=value``.
    verbose
        Whether to show all that DVC and the stages print, not a line for each stage.

    Raises
    ------
    DnapairError
        If a setting is unknown or impossible, or a stage failed.
    """
    targets, overrides = parse_words(arguments)
    settings = changed_settings(overrides)
    _check_stages(targets)
    check_repository()
    changes = [f"{key}={value}" for key, value in overrides.items()]
    # DVC's own words would name no way
    check_present(DATA)
    if PRETRAIN in targets:
        if len(targets) > 1:
            raise DnapairError(f"{PRETRAIN} runs alone: it is not a part of the pipeline.")
        # not `dvc exp run`: it takes away new files that DVC does not track, and so the encoder
        write_settings(overrides)
        _pretrain([*targets, *changes], settings, verbose=verbose)
        return
    with tracking.pipeline_run([*targets, *changes], settings) as parent, answering() as recorder:
        # `dvc exp run` rather than a rewrite of our own: it records the changed settings as an experiment
        given = [word for change in changes for word in ("--set-param", change)]
        dvc = partial(_dvc, parent=parent, recorder=recorder, verbose=verbose)
        dvc(["exp", "run", *given, *targets] if overrides else ["repro", *targets], all_stages=not targets)
        if not targets and not versions.is_registered(
            load_params().registration.name, sha256(paths.REGISTRATION)
        ):
            # another tracking store than the one this model was registered in
            dvc(["repro", "--force", "--single-item", "register"])
        tracking.link_stages(parent, paths.IDENTITIES)
        # reports that a part of the pipeline did not bring up to date are none of its own
        if not targets:
            tracking.StageRun(parent, None).log_metrics(summary.parent_metrics())
    if not targets:
        summary.show()
    print(f"\nThe record of this run: {tracking.run_page(parent)}")


def _check_stages(targets: Sequence[str]) -> None:
    """Refuse a name that is no stage; DVC's other targets, files and stages of other files, are its own."""
    stages = pipeline_stages()[1:] if targets else []
    names = [*dict.fromkeys(stage.partition("@")[0] for stage in stages), PRETRAIN]
    for target in targets:
        if target not in {*stages, *names} and not set("./:") & set(target):
            raise DnapairError(
                f"There is no stage {target}.{similar(target, names)} There are: {', '.join(names)}."
            )


def _pretrain(words: Sequence[str], settings: Mapping[str, Any], *, verbose: bool) -> None:
    with tracking.pipeline_run(words, settings) as parent, answering() as recorder:
        dvc = partial(_dvc, parent=parent, recorder=recorder, verbose=verbose)
        dvc(["repro", "prepare"])
        fetched = subprocess.run(["encoders/fetch_genes.sh", load_params().pretrain.fasta], check=False)
        if fetched.returncode:
            raise DnapairError("The genes could not be fetched: the reason stands above.")
        # it is frozen, so that nothing but a wish for it runs it
        dvc(["unfreeze", _PRETRAIN_TARGET])
        try:
            dvc(["repro", "--force", "--single-item", _PRETRAIN_TARGET])
        finally:
            dvc(["freeze", _PRETRAIN_TARGET])


def _dvc(
    arguments: Sequence[str], *, parent: str, recorder: str, verbose: bool, all_stages: bool = False
) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_RUN_ID"}
    environment |= {tracking.PARENT_VARIABLE: parent, RECORDER_VARIABLE: recorder} | missing_signature()
    # the stages say `python`: it must be the one that runs now
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    command = [sys.executable, "-m", "dvc", *arguments]
    if not verbose:
        watch(command, environment, pipeline_stages() if all_stages else ())
    elif subprocess.run(command, env=environment, check=False).returncode:
        raise DnapairError(f"`dvc {' '.join(arguments)}` failed: the reason stands above.")
