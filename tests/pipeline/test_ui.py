"""MLflow's own pages of a finished pipeline, as a person opens them in a browser."""

import json
import re
from collections.abc import Iterator

import mlflow
import pytest
from docs.screenshots import browse, find_chromium, open_page
from mlflow.entities import Run
from playwright.sync_api import Locator, Page, expect

from tests.pipeline.backend import mlflow_server
from tests.pipeline.conftest import Project

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def page(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    log = tmp_path_factory.mktemp("ui") / "log"
    # tall: MLflow draws no rows of a table that lie below the window
    with (
        mlflow_server(finished.tracking_uri, finished.root, log) as url,
        browse(url, height=1600) as opened,
    ):
        yield opened


@pytest.fixture(scope="module")
def runs(finished: Project) -> dict[str, Run]:
    """The first pipeline by the name ``pipeline``, and the runs below it by theirs."""
    client = mlflow.MlflowClient(finished.tracking_uri, finished.tracking_uri)
    experiment = client.get_experiment_by_name("dnapair")
    order = ["attributes.start_time ASC"]
    found = client.search_runs([experiment.experiment_id], max_results=1000, order_by=order)
    pipeline = next(run for run in found if "mlflow.parentRunId" not in run.data.tags)
    named = {"pipeline": pipeline}
    for run in found:
        if run.data.tags.get("mlflow.parentRunId") in {one.info.run_id for one in named.values()}:
            named[run.info.run_name] = run
    return named


def address_of(run: Run) -> str:
    return f"experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def row_of(page: Page, run: Run) -> Locator:
    link = page.locator(f"a[href*='{run.info.run_id}']")
    return page.get_by_role("row").filter(has=link).first


def test_runs_are_listed_by_name_stages_under_their_pipeline_trials_under_tune(
    page: Page, runs: dict[str, Run]
):
    open_page(page, f"experiments/{runs['pipeline'].info.experiment_id}/runs?workflowType=machine_learning")
    pipeline = row_of(page, runs["pipeline"])
    expect(pipeline).to_contain_text(re.compile(r"pipeline \d\d-\d\d \d\d:\d\d"))
    expect(page.get_by_text("each run is a pipeline").first).to_be_visible()
    for folded, names in (
        ("pipeline", ("prepare", "embed", "train torch", "evaluate tensorflow", "register")),
        ("tune", ("trial 1", "trial 2")),
    ):
        hidden = row_of(page, runs[names[0]])
        expect(hidden).to_have_count(0)
        row_of(page, runs[folded]).get_by_role("button").first.click()
        for name in names:
            expect(row_of(page, runs[name])).to_contain_text(name)


def test_a_pipelines_page_tells_what_each_stage_did_and_leads_there(page: Page, runs: dict[str, Run]):
    open_page(page, address_of(runs["pipeline"]))
    page.get_by_text("Show more").first.click()
    expect(page.get_by_text(re.compile(r": [\d,]+ pairs of [\d,]+ sequences; split"))).to_be_visible()
    verdict = runs["evaluate torch"].data.tags["dnapair.verdict"]
    expect(page.get_by_text(f"evaluate torch: {verdict}")).to_be_visible()
    with page.expect_popup() as opened:
        page.locator("li a[target=_blank]").get_by_text("evaluate torch").click()
    expect(opened.value.get_by_role("heading", name="evaluate torch")).to_be_visible()
    opened.value.close()


def test_two_evaluations_are_compared_by_what_differs(page: Page, runs: dict[str, Run]):
    both = [runs[f"evaluate {framework}"] for framework in ("torch", "tensorflow")]
    ids = json.dumps([run.info.run_id for run in both])
    open_page(page, f"compare-runs?runs={ids}&experiments={json.dumps([both[0].info.experiment_id])}")
    for run in both:
        expect(page.get_by_text(run.info.run_name, exact=True).first).to_be_visible()
    same, other = (
        page.get_by_role("link", name=f"test/{name}", exact=True) for name in ("pairs", "log_loss")
    )
    expect(same).to_be_visible()
    for run in both:
        value = run.data.metrics["test/log_loss"]
        expect(page.get_by_text(f"{value:.3f}".rstrip("0")).first).to_be_visible()
    page.get_by_role("switch", name="Metrics - Show diff only").click()
    expect(same).to_have_count(0)
    expect(other).to_be_visible()


def test_plots_and_the_report_are_shown(page: Page, runs: dict[str, Run]):
    run = runs["evaluate torch"]
    open_page(page, f"{address_of(run)}/artifacts")
    page.get_by_text("plots", exact=True).click()
    page.get_by_text("roc.png", exact=True).click()
    picture = page.locator("img[src^='blob:']").first
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    page.get_by_text("reports", exact=True).click()
    page.get_by_text("report.html", exact=True).click()
    report = page.frame_locator("iframe")
    expect(report.get_by_text(run.data.tags["dnapair.verdict"])).to_be_visible()


def test_the_registered_model_has_its_alias_its_card_and_leads_to_its_run(
    finished: Project, page: Page, runs: dict[str, Run]
):
    open_page(page, "models/dnapair")
    expect(page.get_by_role("row").filter(has_text="@ champion")).to_contain_text("Version")
    open_page(page, "models/dnapair/versions/1")
    first = mlflow.MlflowClient(finished.tracking_uri, finished.tracking_uri).get_model_version(
        "dnapair", "1"
    )
    evaluated = runs[f"evaluate {first.tags['dnapair.framework']}"]
    expect(page.get_by_text(evaluated.data.tags["dnapair.verdict"]).first).to_be_visible()
    for words in ("PR-AUC", "embedding cosine", "GC content, mean (%)"):
        expect(page.get_by_role("cell", name=words).first).to_be_visible()
    expect(page.get_by_role("link", name="register", exact=True)).to_be_visible()


@pytest.mark.parametrize("report", ["validation.html", "torch/report.html"])
def test_a_report_fits_a_phone(finished: Project, page: Page, report: str):
    phone = page.context.browser.new_page(viewport={"width": 390, "height": 800})
    phone.goto((finished.root / "reports" / report).as_uri())
    expect(phone.get_by_role("heading").first).to_be_visible()
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    phone.close()
