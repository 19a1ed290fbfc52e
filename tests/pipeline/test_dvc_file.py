"""dvc.yaml agrees with the code: what a stage imports, which settings it reads."""

import re
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PRETRAINING = yaml.safe_load((ROOT / "encoders" / "dvc.yaml").read_text())["stages"]
MATRIX = ("torch", "tensorflow")
SECTION_NAMES = {"registration": "register"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("dnapair", cache_dir=None)


def source_file(module: str) -> str:
    path = Path("src", *module.split("."))
    return str(path / "__init__.py" if (ROOT / path).is_dir() else path.with_suffix(".py"))


def imported_files(imports: grimp.ImportGraph, stage: str, framework: str | None) -> set[str]:
    """The files a stage needs, the packages they lie in too; of a matrix stage, one framework's alone."""
    start = f"dnapair.stages.{stage}"
    modules = imports.find_upstream_modules(start) | {start}
    others = [name for name in MATRIX if framework and name != framework]
    modules = {m for m in modules if not any(m.rpartition(".")[2].startswith(f"{name}_") for name in others)}
    packages = {m.rpartition(".")[0] for m in modules} - {""}
    return {source_file(module) for module in modules | packages}


def code_dependencies(stage: dict, framework: str | None) -> list[str]:
    dependencies = [dep.replace("${item.framework}", framework or "") for dep in stage["deps"]]
    return [dep for dep in dependencies if dep.startswith("src/")]


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_exactly_the_files_it_imports(imports: grimp.ImportGraph, stage: str):
    for framework in MATRIX if "matrix" in STAGES[stage] else (None,):
        expected = imported_files(imports, stage, framework)
        listed = code_dependencies(STAGES[stage], framework)
        paste = "\n".join(f"      - {file}" for file in sorted(expected))
        assert len(listed) == len(set(listed))
        assert set(listed) == expected, f"deps of {stage} in dvc.yaml should be:\n{paste}"


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


def test_pretraining_depends_on_exactly_the_files_it_imports(imports: grimp.ImportGraph):
    expected = imported_files(imports, "pretrain", None)
    paste = "\n".join(f"      - {file}" for file in sorted(expected))
    listed = code_dependencies(PRETRAINING["pretrain"], None)
    assert set(listed) == expected, f"deps of pretrain in encoders/dvc.yaml should be:\n{paste}"


def test_stages_have_the_promised_names():
    assert list(STAGES) == [
        "prepare",
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
