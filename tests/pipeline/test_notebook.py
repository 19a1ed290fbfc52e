"""The notebook runs as it is, after a pipeline, and what is committed of it has outputs."""

import nbclient
import nbformat
import pytest

from tests.pipeline.conftest import ROOT, Project
from tests.waiting import PATIENCE

NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the notebook's machinery
def test_the_notebook_runs_in_a_project_whose_pipeline_ran(
    finished: Project, monkeypatch: pytest.MonkeyPatch
):
    for name, value in finished.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    bundled = finished.root / "datasets" / "same_genome"
    bundled.symlink_to(finished.root / "datasets" / "small")
    try:
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        place = {"metadata": {"path": str(finished.root / "examples")}}
        nbclient.NotebookClient(notebook, timeout=PATIENCE, resources=place).execute()
    finally:
        bundled.unlink()
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output for output in outputs) == 3


def test_what_is_committed_was_run_to_its_end_and_in_order():
    code = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    text = NOTEBOOK.read_text()
    assert str(ROOT.parent) not in text
    assert '"output_type": "error"' not in text
