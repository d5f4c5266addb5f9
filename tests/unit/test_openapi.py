"""The OpenAPI document and its page: valid, complete, and true to the parser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient
from hypothesis import example, given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter, ValidationError

from leadline import process
from leadline.api import openapi
from leadline.settings import settings
from leadline.users.model import Changes, NewUser
from local.gateway.routes import ROUTES

CHECKOUT = Path(__file__).parents[2]
#: These serve pages for people; requests of a page are internal.
PAGES = {"openapi", "console"}
NAME = openapi.build()["components"]["schemas"]["NewUser"]["properties"]["full_name"]["pattern"]
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


def test_it_lists_exactly_the_calls_that_the_edge_serves() -> None:
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
    for method, operation in _operations():
        is_read = method == "get"
        assert operation["security"] == [{"key": ["read" if is_read else "write"]}]
        expected = {"401", "403", "503"} | (set() if is_read else {"400", "413", "415", "422"})
        assert expected <= operation["responses"].keys()
        for status, answer in operation["responses"].items():
            is_error = int(status) >= 400
            assert answer.get("$ref", "").startswith("#/components/responses/") == is_error


def test_every_error_is_a_problem_document() -> None:
    for answer in openapi.build()["components"]["responses"].values():
        assert list(answer["content"]) == ["application/problem+json"]


@given(st.text(max_size=110) | st.text(BLANKS + "a\x00\x1f\x7f"))
@example("x" * 101)
@example(" " + "x" * 100 + " ")
@example("a\nb")
@example("\n a \n")
def test_a_name_is_accepted_exactly_if_the_document_allows_it(name: str) -> None:
    try:
        TypeAdapter(NewUser).validate_python({"full_name": name, "phone": "+77001112233"})
    except ValidationError:
        assert not re.search(NAME, name)
    else:
        assert re.search(NAME, name)


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
    openapi.document.cache_clear()
    document = client.get("/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    assert "security" not in json.dumps(document["paths"])
    openapi.document.cache_clear()


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
