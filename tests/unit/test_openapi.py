"""The OpenAPI document and its page: valid, complete, and true to the parser."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, TypeAdapter, ValidationError

from leadline import process
from leadline.api import openapi, problem_types
from leadline.api.openapi_operations import OPERATIONS
from leadline.errors import InvalidRequest, LeadlineError
from leadline.runtime.http import problem
from leadline.settings import settings
from leadline.users.model import Batch, BatchItem, Changes, NewUser
from local.gateway.routes import ROUTES

CHECKOUT = Path(__file__).parents[2]
#: These serve pages for people; requests of a page are internal.
PAGES = {"openapi", "console"}
_COMPONENTS = openapi.build()["components"]
NAME_PATTERN = _COMPONENTS["schemas"]["NewUser"]["properties"]["full_name"]["pattern"]
EXTERNAL_ID_PATTERN = _COMPONENTS["parameters"]["ExternalId"]["schema"]["pattern"]
BLANKS = "\t\n\r \x85\xa0\u2003\u2028\u3000"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    # functions-framework would leave these behind.
    monkeypatch.setenv("FUNCTION_TARGET", "openapi")
    monkeypatch.setenv("FUNCTION_SIGNATURE_TYPE", "http")
    app: Any = functions_framework.create_app(  # type: ignore[no-untyped-call]
        "openapi", str(CHECKOUT / "functions/openapi/main.py"), "http"
    )
    return FlaskClient(app)


def test_the_document_conforms_to_openapi_3_1() -> None:
    document = openapi.build()
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_the_document_lists_exactly_the_calls_that_the_edge_serves() -> None:
    served = {
        (path, method)
        for path, methods in ROUTES.items()
        for method, function in methods.items()
        if function not in PAGES
    }
    listed = {
        (path, method.upper()) for path, item in openapi.build()["paths"].items() for method in item
    }
    assert listed == served


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for item in openapi.build()["paths"].values():
        yield from item.items()


def test_every_call_names_its_scope_and_its_errors() -> None:
    scopes = {"get": "read", "delete": "erase"}
    for method, operation in _operations():
        assert operation["security"] == [{"key": [scopes.get(method, "write")]}]
        has_body = method in {"post", "patch", "put"}
        expected = {"401", "403", "503"} | ({"400", "413", "415", "422"} if has_body else set())
        assert expected <= operation["responses"].keys()
        for status, answer in operation["responses"].items():
            is_error = int(status) >= 400
            assert answer.get("$ref", "").startswith("#/components/responses/") == is_error


def test_every_operation_has_texts_a_tag_and_valid_examples() -> None:
    document = openapi.build()
    tags = {tag["name"] for tag in document["tags"]}
    used = set()
    for _, operation in _operations():
        assert operation["summary"]
        assert operation["description"]
        used |= set(operation["tags"])
    assert used == tags
    for described in OPERATIONS:
        TypeAdapter(described.response).validate_python(described.response_example)
        if described.body and described.body is not Batch:
            TypeAdapter(described.body).validate_python(described.body_example)
        assert bool(described.body) == bool(described.body_example)


def test_every_error_is_a_problem_document() -> None:
    for answer in openapi.build()["components"]["responses"].values():
        (content,) = answer["content"].values()
        assert list(answer["content"]) == ["application/problem+json"]
        example = TypeAdapter(problem.Problem).validate_python(content["example"])
        assert (example["code"], example["status"]) in {
            (type_.code, type_.status) for type_ in problem_types.TYPES
        }


def _errors(base: type[LeadlineError] = LeadlineError) -> Iterator[type[LeadlineError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from _errors(subclass)


def test_every_code_is_explained_once() -> None:
    codes = [type_.code for type_ in problem_types.TYPES]
    assert len(set(codes)) == len(codes)
    statuses = {type_.code: type_.status for type_ in problem_types.TYPES}
    for error in _errors():
        if error is not InvalidRequest:  # each may have another code and status
            assert statuses[error.problem] == error.status, error
    for status in HTTPStatus:
        if status >= 400:
            document = json.loads(problem.document(status, "x"))
            assert document["code"] in statuses
    used = re.compile(r'problem="(\w+)"')
    for path in (CHECKOUT / "leadline").rglob("*.py"):
        assert set(used.findall(path.read_text(encoding="utf-8"))) <= statuses.keys(), path


def test_the_type_of_a_problem_leads_to_its_code(client: FlaskClient) -> None:
    """On the page of a running system, and in the repository."""
    page = client.get("/docs/problems")
    assert page.content_type.startswith("text/html")
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    in_repository = (CHECKOUT / "docs/problems.md").read_text(encoding="utf-8")
    assert in_repository == problem_types.markdown()
    for type_ in problem_types.TYPES:
        path, _, anchor = f"{problem.TYPES}{type_.code}".partition("#")
        assert path == "/docs/problems"
        assert f'id="{anchor}"' in page.text
        assert f"## `{anchor}`" in in_repository


@pytest.mark.parametrize("model", [NewUser, BatchItem])
@given(external_id=st.text(max_size=260) | st.text(BLANKS + "a\x00\x1f\x7f", max_size=5))
@example(external_id="x" * 256)
@example(external_id=" x")
def test_an_external_id_is_accepted_exactly_if_the_document_allows_it(
    model: type[BaseModel], external_id: str
) -> None:
    body = {"full_name": "A", "phone": "+77001112233", "external_id": external_id}
    try:
        model.model_validate(body)
    except ValidationError:
        # Python's $, unlike JavaScript's, also matches before a line feed at the end.
        assert not re.search(rf"{EXTERNAL_ID_PATTERN[:-1]}\Z", external_id)
    else:
        assert re.search(EXTERNAL_ID_PATTERN, external_id)


@given(st.text(max_size=110) | st.text(BLANKS + "a\x00\x1f\x7f"))
@example("x" * 101)
@example(" " + "x" * 100 + " ")
@example("a\nb")
@example("\n a \n")
def test_a_name_is_accepted_exactly_if_the_document_allows_it(name: str) -> None:
    try:
        TypeAdapter(NewUser).validate_python({"full_name": name, "phone": "+77001112233"})
    except ValidationError:
        assert not re.search(NAME_PATTERN, name)
    else:
        assert re.search(NAME_PATTERN, name)


def test_a_change_has_a_field_and_never_null() -> None:
    changes = openapi.build()["components"]["schemas"]["Changes"]
    assert changes["minProperties"] == 1
    assert changes["properties"].keys() == Changes.model_fields.keys()
    assert "null" not in json.dumps(changes)


def test_the_document_is_served_without_a_key(client: FlaskClient) -> None:
    for path in ("/openapi.json", "/function/openapi/openapi.json", "/"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.content_type == "application/json"
        assert answer.get_json() == openapi.build()


def test_without_keys_the_document_requires_none(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")
    process.forget(settings)
    document = client.get("/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    assert "security" not in json.dumps(document["paths"])


def test_the_page_loads_all_its_parts_from_here(client: FlaskClient) -> None:
    page = client.get("/docs")
    assert page.content_type.startswith("text/html")
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(parts) == 5
    for part in parts:
        answer = client.get(f"/{part}")
        assert (answer.status_code, bool(answer.data)) == (200, True), part
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "unsafe" not in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path", ["/docs/x", "/docs/../main.py", "/docs/VERSION", "/docs/a/b", "/x", "/docs/%2e%2e"]
)
def test_no_other_file_is_served(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"
