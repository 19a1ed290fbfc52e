"""The life of registered versions, in a registry of sqlite as users have it."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mlflow
import pytest

from dnapair.commands import models
from dnapair.errors import DnapairError
from dnapair.evaluation.gate import Decision
from dnapair.registry.history import HEADING, HISTORY_TAG
from dnapair.registry.lifecycle import Lifecycle
from dnapair.registry.version_tags import DATA_TAG, FRAMEWORK_TAG, TEST_TAGS, VALIDATION_TAG

# MLflow itself runs in these tests: what it warns of in its own code is not ours to mend
pytestmark = pytest.mark.filterwarnings("default")

PARAMS = Path(__file__).parents[3] / "params.yaml"
NAME = "dnapair"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with four versions; to make the tables takes seconds, to copy them nothing."""
    path = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client = mlflow.MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}")
    client.create_registered_model(NAME, description="Pairs of fragments.")
    for number in range(1, 5):
        tags = {
            FRAMEWORK_TAG: "tensorflow" if number % 2 else "torch",
            VALIDATION_TAG: repr(0.80123 + number / 100),
            TEST_TAGS["roc_auc"]: "0.92187",
            TEST_TAGS["pr_auc"]: "0.86055",
            DATA_TAG: "00a929217d3d399419e8440a14b89f3b401464f60fb300b142cd39d02157e42c",
        }
        client.create_model_version(NAME, f"file://{path.parent}/{number}", tags=tags if number > 1 else {})
    return path


@pytest.fixture
def life(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lifecycle:
    shutil.copy(template, tmp_path / "mlflow.db")
    shutil.copy(PARAMS, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    monkeypatch.setattr("getpass.getuser", lambda: "ada")
    return Lifecycle(NAME, "champion", "challenger")


def says(promoted: bool, why: str) -> Callable[[str], Decision]:
    """A gate that decides so against any champion."""
    return lambda champion: Decision(promoted, why)


def aliases() -> dict[str, str]:
    found = mlflow.MlflowClient().get_registered_model(NAME).aliases
    return {alias: str(version) for alias, version in found.items()}


def description() -> str:
    return str(mlflow.MlflowClient().get_registered_model(NAME).description)


def version_tags(number: int) -> dict[str, str]:
    return dict(mlflow.MlflowClient().get_model_version(NAME, str(number)).tags)


def test_every_step_is_a_line_of_the_description_and_keeps_what_people_wrote(life: Lifecycle) -> None:
    life.decide("1", says(True, "there is no champion yet"))
    life.decide("2", says(False, "it is not better: <b>0.8</b>"))
    life.challenge("3", "to be\nwatched")
    life.promote("3", "faster")
    life.archive("1", "old")
    life.restore("1", "")
    life.roll_back("it was slow")
    own, _, lines = description().partition(HEADING)
    assert own == "Pairs of fragments.\n\n"
    said = [line.split(" UTC ")[1] for line in lines.splitlines() if line]
    assert said == [
        "rollback champion 3 → 1, by ada: it was slow",
        "restore 1, by ada",
        "archive 1, by ada: old",
        "promote champion 1 → 3, by ada: faster",
        "challenger challenger none → 3, by ada: to be watched",
        "refuse 2, by the gate: it is not better: &lt;b&gt;0.8&lt;/b&gt;",
        "promote champion none → 1, by the gate: there is no champion yet",
    ]
    assert [step.what for step in life.history()][-1] == "rollback"
    assert version_tags(1)["dnapair.champion"] == "yes: there is no champion yet"
    assert version_tags(2)["dnapair.champion"] == "no: it is not better: <b>0.8</b>"


def test_roll_back_goes_back_one_champion_at_a_time(life: Lifecycle) -> None:
    for number in ("1", "2", "3", "4"):
        life.promote(number, "")
    life.archive("2", "")
    life.roll_back("")
    assert aliases() == {"champion": "3"}
    # version 2 is archived
    life.roll_back("")
    assert aliases() == {"champion": "1"}
    with pytest.raises(DnapairError, match="has no champion before version 1"):
        life.roll_back("")
    life.promote("4", "")
    life.roll_back("")
    assert aliases() == {"champion": "1"}


def test_roll_back_knows_champions_of_before_the_history_and_of_other_hands(life: Lifecycle) -> None:
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "champion", "1")
    life.promote("2", "")
    client.set_registered_model_alias(NAME, "champion", "4")
    life.roll_back("")
    assert aliases() == {"champion": "2"}
    life.roll_back("")
    assert aliases() == {"champion": "1"}


def test_without_a_champion_there_is_nothing_to_roll_back(life: Lifecycle) -> None:
    with pytest.raises(DnapairError, match="has no champion to take back"):
        life.roll_back("")
    assert life.history() == []


def test_what_the_gate_refused_is_promoted_by_force_and_a_reason_alone(life: Lifecycle) -> None:
    life.decide("1", says(True, "first"))
    life.decide("2", says(False, "the audit fails"))
    for force, why in ((False, ""), (False, "I know better"), (True, "")):
        with pytest.raises(
            DnapairError, match=r"The gate refused version 2.*the audit fails.*--force --reason"
        ):
            life.promote("2", why, force=force)
    assert aliases() == {"champion": "1"}
    life.promote("2", "the audit is wrong on this", force=True)
    assert aliases() == {"champion": "2"}
    assert version_tags(2)["dnapair.champion"] == "no: the audit fails"


def test_the_archive_takes_the_challenger_and_never_the_champion(life: Lifecycle) -> None:
    life.promote("1", "")
    life.challenge("2", "")
    life.archive("2", "broken")
    assert aliases() == {"champion": "1"}
    for step, words in (
        (lambda: life.archive("1", ""), "is champion, so it can't be archived"),
        (lambda: life.archive("2", ""), "is archived already"),
        (lambda: life.promote("2", ""), "is archived. Take it out again first: dnapair models restore 2"),
        (lambda: life.challenge("2", ""), "is archived"),
        (lambda: life.restore("1", ""), "is not archived"),
        (lambda: life.promote("1", ""), "is champion already"),
        (lambda: life.challenge("1", ""), "is champion already"),
        (lambda: life.promote("9", ""), r"has no version 9. There are: 4, 3, 2, 1"),
        (lambda: life.archive("9", ""), "has no version 9"),
    ):
        before = len(life.history())
        with pytest.raises(DnapairError, match=words):
            step()
        assert len(life.history()) == before
    life.restore("2", "")
    life.promote("2", "")
    assert aliases() == {"champion": "2"}


def test_a_promoted_challenger_is_no_challenger_any_more(life: Lifecycle) -> None:
    life.challenge("2", "")
    life.promote("2", "")
    assert aliases() == {"champion": "2"}


def test_the_gate_does_not_bring_back_what_people_put_away(life: Lifecycle) -> None:
    life.promote("1", "")
    life.promote("2", "")
    life.archive("3", "")
    life.roll_back("it called everything related")
    assert "was taken back" in life.kept_back("2")
    assert "is archived" in life.kept_back("3")
    assert life.kept_back("4") == ""
    life.promote("2", "it was the data")
    assert life.kept_back("2") == ""


def test_steps_at_once_lose_no_line(life: Lifecycle) -> None:
    def decide_often(version: int) -> None:
        own = Lifecycle(NAME, "champion", "challenger")
        for number in range(version - 1, 24, 4):
            own.decide(str(version), says(False, f"reason {number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(decide_often, range(1, 5)))
    told = {f"reason {number}" for number in range(24)}
    assert {step.why for step in life.history()} == told
    lines = description().splitlines()
    assert {reason for reason in told for line in lines if line.endswith(f": {reason}")} == told


def test_a_clock_that_was_set_back_keeps_the_order(life: Lifecycle) -> None:
    later = datetime.now(UTC) + timedelta(days=400)
    mlflow.MlflowClient().set_registered_model_tag(
        NAME,
        f"{HISTORY_TAG}{later:%Y-%m-%dT%H:%M:%S.%fZ}-0",
        '{"what": "promote", "alias": "champion", "before": "", "after": "1", "who": "x", "why": ""}',
    )
    mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", "1")
    life.promote("2", "")
    life.promote("3", "")
    assert [step.after for step in life.history()] == ["1", "2", "3"]
    life.roll_back("")
    assert aliases() == {"champion": "2"}


def test_a_long_history_fits_into_the_registry_and_the_newest_lines_are_shown(life: Lifecycle) -> None:
    for number in range(25):
        life.decide("2", says(False, f"{number} " + "word " * 200))
    assert len(description()) <= 5000
    assert "24 word" in description()
    assert "earlier: dnapair models history" in description()
    assert all(line.endswith(" word ...") for line in description().splitlines() if " refuse " in line)
    assert len(life.history()) == 25


def test_the_list_reads_well_in_80_columns(
    life: Lifecycle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    life.decide(
        "1",
        says(True, "there is no champion yet; PR-AUC +0.009 (-0.013 to +0.032) against cosine"),
    )
    life.decide("2", says(False, "[red]it is not better[/red] than the champion"))
    models.challenger(4, "to be watched")
    models.archive(3, "")
    capsys.readouterr()
    models.show()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = [" ".join(line.split()) for line in lines]
    assert text[0] == "dnapair: 4 version(s)"
    created = datetime.now(UTC)
    assert text[3].startswith(f"4 challenger torch 0.841 0.861 0.922 00a92921 {created:%Y-}")
    assert text[4].startswith("3 archived tensorflow 0.831 0.861 0.922 00a92921")
    assert text[6].startswith("1 champion - - - - - ")
    assert "2 no: [red]it is not better[/red] than the champion" in text
    models.history()
    assert capsys.readouterr().out.splitlines()[0].split(" UTC ")[1] == "archive 3, by ada"


def test_the_commands_move_the_aliases(life: Lifecycle, capsys: pytest.CaptureFixture[str]) -> None:
    models.promote(1, "first", force=False)
    models.promote(2, "", force=False)
    models.rollback("worse")
    models.archive(2, "")
    models.restore(2, "")
    assert aliases() == {"champion": "1"}
    assert capsys.readouterr().out.splitlines()[2].endswith("rollback champion 2 → 1, by ada: worse")


def test_a_registry_without_the_model_says_what_makes_one(life: Lifecycle) -> None:
    with pytest.raises(DnapairError, match="has no model 'nobody'"):
        Lifecycle("nobody", "champion", "challenger")


def test_a_registry_that_does_not_answer_is_named_without_its_password(
    life: Lifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri("http://ada:secret@127.0.0.1:9")
    with pytest.raises(DnapairError, match=r"The registry http://127\.0\.0\.1:9 does not answer") as said:
        Lifecycle(NAME, "champion", "challenger")
    assert "secret" not in str(said.value)
