"""The life of a registered model: champion, challenger, back, archive; each step is a line of its history.

Aliases and tags are all that MLflow has for this.
"""

import getpass
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import mlflow
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from dnapair import tracking
from dnapair.errors import DnapairError
from dnapair.evaluation.gate import Decision
from dnapair.registry.history import Step, describe, line_of_champions, read_history, write_step
from dnapair.registry.version_tags import DATA_TAG
from dnapair.tracking.store import make_row, may_be_second

ARCHIVED_TAG = "dnapair.archived"
ROLLED_BACK_TAG = "dnapair.rolled_back"
GATE = "the gate"
"""Who promotes and refuses at registration."""

_SHOWN = 5
# what MLflow's database takes
_TAG_LETTERS = 5000
_REASON_LETTERS = 1000


class Lifecycle:
    """A registered model whose versions are promoted, taken back and archived.

    Parameters
    ----------
    name
        Of the registered model.
    champion, challenger
        The two aliases.

    Raises
    ------
    DnapairError
        If the tracking store does not answer, or has no such model.
    """

    def __init__(self, name: str, champion: str, challenger: str) -> None:
        self.name = name
        self.champion, self.challenger = champion, challenger
        self._client = mlflow.MlflowClient()
        self._model()

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the newest first, each with its aliases."""
        by_alias = self._model().aliases
        found = list(self._client.search_model_versions(f"name = '{self.name}'", max_results=10_000))
        for version in found:
            version.aliases = sorted(
                alias for alias, number in by_alias.items() if str(number) == str(version.version)
            )
        return sorted(found, key=lambda version: int(version.version), reverse=True)

    def champion_now(self) -> str:
        """Return the champion's version; empty where there is none."""
        return self._holder(self.champion)

    def data_of(self, version: str) -> str:
        """Return the SHA-256 of the pairs that a version was trained on; empty where it does not say."""
        return self._find(version).tags.get(DATA_TAG, "")

    def history(self) -> list[Step]:
        """Return every step so far, the oldest first."""
        return read_history(self._model().tags)

    def promote(self, version: str, why: str, *, force: bool = False, who: str | None = None) -> Step:
        """Make a version champion.

        Parameters
        ----------
        version
            Its number.
        why
            The reason. A version that the gate refused needs one, and ``force``.
        force
            Let it through although the gate refused it.
        who
            Who does it; None: the user of this process.

        Returns
        -------
        Step
            The new line of the history.

        Raises
        ------
        DnapairError
            If there is no such version, it is champion already, it is archived, or the gate refused it and
            ``force`` or ``why`` is missing.
        """
        chosen, before = self._find(version), self.champion_now()
        if before == version:
            raise DnapairError(f"Version {version} of {self.name} is {self.champion} already.")
        self._refuse_archived(chosen)
        verdict = chosen.tags.get(f"dnapair.{self.champion}", "")
        if verdict.startswith("no:") and not (force and why):
            raise DnapairError(
                f"The gate refused version {version} of {self.name}: {verdict.removeprefix('no: ')}. To make "
                f'it {self.champion} all the same: dnapair models promote {version} --force --reason "..."'
            )
        self._give(self.champion, version)
        step = self._follow(version, before, why, who)
        if ROLLED_BACK_TAG in chosen.tags:
            self._client.delete_model_version_tag(self.name, version, ROLLED_BACK_TAG)
        return step

    def decide(self, version: str, decide: Callable[[str], Decision]) -> Decision:
        """Let the gate decide on a version against the champion there is, and do what it decided.

        If somebody else moves the alias in the meantime, or makes it at the same moment, it decides anew.
        Left is the time between the last look and the move that follows it, two requests to the store: of two
        who move in there an alias that there is, the later wins.

        Parameters
        ----------
        version
            Its number.
        decide
            Decides against a version, or against none where it is empty. The reason stays on the version.

        Returns
        -------
        Decision
            Against the champion that there was last.
        """
        before = self.champion_now()
        while True:
            decision = decide(before)
            verdict = f"{'yes' if decision.promoted else 'no'}: {decision.reason}"[:_TAG_LETTERS]
            self._tag(version, f"dnapair.{self.champion}", verdict)
            latest = self.champion_now()
            if latest != before:
                before = latest
                continue
            if not decision.promoted:
                self._record("refuse", "", "", version, decision.reason, GATE)
                return decision
            try:
                self._client.set_registered_model_alias(self.name, self.champion, version)
            except MlflowException as error:
                before = self.champion_now()
                if before == latest or not may_be_second(error):
                    raise
                continue
            self._follow(version, before, decision.reason, GATE)
            return decision

    def roll_back(self, why: str) -> Step:
        """Make the version champion that was it before the present one.

        Versions that are archived or deleted are passed over. The gate does not promote by itself again what
        was taken back.

        Raises
        ------
        DnapairError
            If there is no champion, or none before it.
        """
        alias = self.champion
        present = self.champion_now()
        if not present:
            raise DnapairError(
                f"{self.name} has no {alias} to take back: dnapair models promote VERSION makes one."
            )
        usable = {str(one.version) for one in self.versions() if ARCHIVED_TAG not in one.tags}
        before = line_of_champions(self.history(), alias)
        while before and (before[-1] == present or before[-1] not in usable):
            before.pop()
        if not before:
            raise DnapairError(
                f"The history of {self.name} has no {alias} before version {present} that is there and not "
                "archived. Choose one by hand: dnapair models promote VERSION"
            )
        self._give(alias, before[-1])
        self._tag(present, ROLLED_BACK_TAG, why[:_REASON_LETTERS] or "yes")
        return self._record("rollback", alias, present, before[-1], why)

    def challenge(self, version: str, why: str) -> Step:
        """Give a version the second alias.

        Raises
        ------
        DnapairError
            If there is no such version, or it is champion, challenger already, or archived.
        """
        chosen, before = self._find(version), self._holder(self.challenger)
        for alias in (self.champion, self.challenger):
            if alias in chosen.aliases:
                raise DnapairError(f"Version {version} of {self.name} is {alias} already.")
        self._refuse_archived(chosen)
        self._give(self.challenger, version)
        return self._record("challenger", self.challenger, before, version, why)

    def archive(self, version: str, why: str) -> Step:
        """Put a version away: it is kept, and loses the challenger's alias, but can't be promoted.

        Raises
        ------
        DnapairError
            If there is no such version, or it is champion, or archived already.
        """
        chosen = self._find(version)
        if self.champion in chosen.aliases:
            raise DnapairError(
                f"Version {version} of {self.name} is {self.champion}, so it can't be archived. Promote "
                "another one first, or take it back: dnapair models rollback"
            )
        if ARCHIVED_TAG in chosen.tags:
            raise DnapairError(f"Version {version} of {self.name} is archived already.")
        self._end_challenge(version)
        self._tag(version, ARCHIVED_TAG, why[:_REASON_LETTERS] or "yes")
        return self._record("archive", "", "", version, why)

    def restore(self, version: str, why: str) -> Step:
        """Undo :meth:`archive`.

        Raises
        ------
        DnapairError
            If there is no such version, or it is not archived.
        """
        if ARCHIVED_TAG not in self._find(version).tags:
            raise DnapairError(f"Version {version} of {self.name} is not archived.")
        self._client.delete_model_version_tag(self.name, version, ARCHIVED_TAG)
        return self._record("restore", "", "", version, why)

    def kept_back(self, version: str) -> str:
        """Say why the gate must not let a version through that people put away; empty where it may."""
        tags = self._find(version).tags
        if ARCHIVED_TAG in tags:
            return f"it is archived (dnapair models restore {version})"
        if ROLLED_BACK_TAG in tags:
            return f"it was champion and was taken back (dnapair models promote {version})"
        return ""

    def _model(self) -> RegisteredModel:
        try:
            return self._client.get_registered_model(self.name)
        except MlflowException as error:
            said = (
                f"has no model {self.name!r}: `dnapair run` makes one. Its name is set in params.yaml "
                f"(register.name).{self._others()}"
                if error.error_code == "RESOURCE_DOES_NOT_EXIST"
                else f"does not answer: {tracking.reason(error)}"
            )
            raise DnapairError(f"The registry {tracking.store_address()} {said}") from None

    def _others(self) -> str:
        names = [model.name for model in self._client.search_registered_models(max_results=_SHOWN)]
        return f" There are: {', '.join(names)}." if names else ""

    def _find(self, version: str) -> ModelVersion:
        found = {str(one.version): one for one in self.versions()}
        if version not in found:
            raise DnapairError(
                f"{self.name} has no version {version}. There are: {', '.join(found) or 'none'}."
            )
        return found[version]

    def _holder(self, alias: str) -> str:
        return str(self._model().aliases.get(alias, ""))

    def _give(self, alias: str, version: str) -> None:
        make_row(partial(self._client.set_registered_model_alias, self.name, alias, version))

    def _tag(self, version: str, tag: str, value: str) -> None:
        make_row(partial(self._client.set_model_version_tag, self.name, version, tag, value))

    def _follow(self, version: str, before: str, why: str, who: str | None) -> Step:
        """Do what follows when a version has become champion."""
        self._end_challenge(version)
        return self._record("promote", self.champion, before, version, why, who)

    def _end_challenge(self, version: str) -> None:
        if self._holder(self.challenger) == version:
            self._client.delete_registered_model_alias(self.name, self.challenger)

    def _refuse_archived(self, chosen: ModelVersion) -> None:
        if ARCHIVED_TAG in chosen.tags:
            raise DnapairError(
                f"Version {chosen.version} of {self.name} is archived. Take it out again first: dnapair "
                f"models restore {chosen.version}"
            )

    def _record(
        self, what: str, alias: str, before: str, after: str, why: str, who: str | None = None
    ) -> Step:
        """Add a line to the history, and write the description anew until it holds every line."""
        earlier = self.history()
        now = datetime.now(UTC)
        if earlier:
            # a clock that was set back does not change the order
            now = max(now, earlier[-1].time + timedelta(microseconds=1))
        reason = " ".join(why.split())[:_REASON_LETTERS]
        step = Step(now, what, alias, before, after, who or _user(), reason)
        self._client.set_registered_model_tag(self.name, *write_step(step))
        model = self._model()
        while True:
            words = describe(model.description or "", read_history(model.tags))
            self._client.update_registered_model(self.name, words)
            written, model = model, self._model()
            # another's line may have come between reading and writing
            if model.tags == written.tags:
                return step


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # a container may have no name for its user
        return "unknown"
