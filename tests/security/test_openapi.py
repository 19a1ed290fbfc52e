"""The routes as /openapi.json describes them, asked by schemathesis."""

from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks

from tests.security.test_fuzz import own_server

HELD_TO = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
)
FEW, MANY = 100, 10_000


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", own_server(tmp_path_factory.mktemp("model")))


def ask(described: Any, draw: Any, path: str, method: str, mode: GenerationMode) -> int:
    case = draw(described[path][method].as_strategy(generation_mode=mode))
    answer = case.call()
    case.validate_response(answer, checks=HELD_TO)
    return answer.status_code


@pytest.mark.parametrize("path", ["/ping", "/health", "/metadata"])
def test_what_takes_no_body_is_answered_as_described(described: Any, path: str) -> None:
    case = described[path]["GET"].Case()
    case.call_and_validate(checks=HELD_TO)


@pytest.mark.parametrize("mode", GenerationMode)
@settings(max_examples=FEW, database=None)
@given(data=st.data())
def test_pairs_are_answered_as_described(described: Any, mode: GenerationMode, data: Any) -> None:
    ask(described, data.draw, "/invocations", "POST", mode)


@pytest.mark.soak
@pytest.mark.parametrize("mode", GenerationMode)
@settings(max_examples=MANY, database=None)
@given(data=st.data())
def test_a_great_many_pairs_are_answered_as_described(
    described: Any, mode: GenerationMode, data: Any
) -> None:
    ask(described, data.draw, "/invocations", "POST", mode)
