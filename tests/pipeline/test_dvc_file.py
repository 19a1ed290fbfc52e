"""dvc.yaml agrees with the code: what a stage imports, which settings it reads."""

import re
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PRETRAINING = yaml.safe_load((ROOT / "encoders" / "dvc.yaml").read_text())["stages"]
ROOMS = [path.parent for path in sorted((ROOT / "src/dnapair").glob("*/__init__.py"))]
# what records runs, what the machine can do, and how settings are read: their values are in `params`
MAKE_NOTHING_STALE = {"tracking", "machine", "params"}
ONE_BY_ONE = {"stages", "commands"}
SECTION_NAMES = {"registration": "register"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("dnapair", cache_dir=None)


def rooms(imports: grimp.ImportGraph, start: str) -> set[str]:
    """What a stage computes with: rooms of the house, or the only file of a room that it uses."""
    used: dict[str, set[str]] = {}
    for module in imports.find_upstream_modules(start) | {start}:
        _, *path = module.split(".")
        if len(path) > 1 and path[0] not in MAKE_NOTHING_STALE and module != "dnapair.stages.paths":
            used.setdefault(path[0], set()).add(path[1])
    return {
        dependency
        for room, parts in used.items()
        for dependency in (
            {source(room, part) for part in parts}
            if len(parts) == 1 or room in ONE_BY_ONE
            else {f"src/dnapair/{room}"}
        )
    }


def source(room: str, part: str) -> str:
    path = Path("src/dnapair", room, part)
    return str(path if (ROOT / path).is_dir() else path.with_suffix(".py"))


def code_dependencies(stage: dict) -> set[str]:
    listed = [dep for dep in stage["deps"] if dep.startswith("src/")]
    assert len(listed) == len(set(listed))
    return set(listed)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_rooms_it_computes_with(imports: grimp.ImportGraph, stage: str):
    expected = rooms(imports, f"dnapair.stages.{stage}")
    paste = "\n".join(f"      - {name}" for name in sorted(expected))
    assert code_dependencies(STAGES[stage]) == expected, f"deps of {stage} in dvc.yaml should be:\n{paste}"


def test_what_a_change_of_each_room_runs_again():
    """The stages that a change makes stale; DVC runs those after them if what they write has changed."""
    runs_again = {room.name: set() for room in ROOMS}
    for stage, content in STAGES.items():
        for dependency in code_dependencies(content):
            runs_again[Path(dependency).parts[2]].add(stage)
    everywhere = set(STAGES)
    networks = {"finetune", "tune", "train", "score", "baselines", "crossvalidate", "evaluate", "register"}
    assert runs_again == {
        "checks": {"validate", "register"},
        "commands": set(),
        "data": {
            "prepare",
            "finetune",
            "embed",
            "validate",
            "baselines",
            "crossvalidate",
            "evaluate",
            "register",
        },
        "embedding": {"locate", "finetune", "embed", "scale", "validate", "tune"}
        | {"baselines", "crossvalidate", "register"},
        "evaluation": {"finetune", "train", "baselines", "crossvalidate", "evaluate", "register"},
        "finetuning": {"finetune"},
        "interactions": {
            "interact",
            "finetune",
            "scale",
            "validate",
            "tune",
            "baselines",
            "crossvalidate",
            "register",
        },
        "machine": set(),
        "params": set(),
        "networks": networks,
        "pretraining": {"finetune"},
        "registry": {"register"},
        "reporting": {"scale", "validate", "evaluate"},
        "scoring": {"register"},
        "serving": set(),
        # each has its own file there
        "stages": everywhere,
        "storage": everywhere,
        "tracking": set(),
        "training": networks - {"evaluate", "register"},
    }
    of_evaluation = {dep for dep in STAGES["train"]["deps"] if "evaluation" in dep}
    assert of_evaluation == {"src/dnapair/evaluation/metrics.py"}, "a report's words must not train anew"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_names_exactly_the_settings_it_reads(stage: str):
    source = (ROOT / "src/dnapair/stages" / f"{stage}.py").read_text()
    read = {SECTION_NAMES.get(name, name) for name in re.findall(r"\bparams\.(?!yaml)(\w+)", source)}
    assert read == {key.split(".")[0] for key in STAGES[stage].get("params", [])}


def test_every_setting_is_read_by_some_stage_or_by_the_server():
    sections = yaml.safe_load((ROOT / "params.yaml").read_text())
    stages = [*STAGES.values(), PRETRAINING["pretrain"]]
    read = {key for stage in stages for key in stage.get("params", [])}
    assert set(sections) == {key for key in read if "." not in key} | {"serve"}


def test_pretraining_depends_on_exactly_the_rooms_it_computes_with(imports: grimp.ImportGraph):
    expected = rooms(imports, "dnapair.commands.pretrain")
    paste = "\n".join(f"    - {name}" for name in sorted(expected))
    listed = code_dependencies(PRETRAINING["pretrain"])
    assert listed == expected, f"deps of pretrain in encoders/dvc.yaml should be:\n{paste}"


def test_every_stage_has_a_file_of_its_name_and_every_file_there_is_a_stage():
    shared = {"__init__", "encoders", "groups", "imported", "inputs", "paths"}
    assert {path.stem for path in (ROOT / "src/dnapair/stages").glob("*.py")} - shared == set(STAGES)


def test_stages_have_the_promised_names():
    assert list(STAGES) == [
        "locate",
        "prepare",
        "interact",
        "finetune",
        "embed",
        "scale",
        "validate",
        "tune",
        "train",
        "score",
        "baselines",
        "crossvalidate",
        "evaluate",
        "register",
    ]


def test_no_stage_writes_into_the_raw_data():
    outs = [
        out if isinstance(out, str) else next(iter(out)) for stage in STAGES.values() for out in stage["outs"]
    ]
    assert not [out for out in outs if out.split("/")[0] == "data"]


def test_conda_and_virtualenv_name_the_same_requirements():
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"][-1]["pip"]
    virtualenv = yaml.safe_load((ROOT / "python_env.yaml").read_text())["dependencies"]
    assert conda == virtualenv == ["-r requirements.txt", "-c constraints.txt"]


def test_every_requirement_is_pinned_and_constrained_to_the_same_version():
    def pins(file: str) -> dict[str, str]:
        lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
        return {re.split(r"[\[=]", line)[0].lower(): line.partition("==")[2] for line in lines}

    required, constrained = pins("requirements.txt"), pins("constraints.txt")
    assert all(required.values())
    assert {name: constrained.get(name) for name in required} == required


def test_entry_points_of_the_mlflow_project():
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert set(project["entry_points"]) >= {
        "main",
        "prepare",
        "finetune",
        "embed",
        "pretrain",
        "tune",
        "train",
        "score",
        "baselines",
        "crossvalidate",
        "evaluate",
        "register",
    }
    assert not any("parameters" in entry for entry in project["entry_points"].values())
