"""Common to all handlers: paths, methods, errors as problem details."""

import contextlib
import hashlib
import json
from http import HTTPStatus

import pytest
import werkzeug
from flask import Request, Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder

from leadline.api import writes
from leadline.api.paths import require_collection, user_id
from leadline.errors import (
    FieldError,
    InvalidRequest,
    LeadlineError,
    PathNotFound,
    RequestInProgress,
    UserNotFound,
    VersionMismatch,
)
from leadline.runtime.http import problem
from leadline.runtime.http.auth import Scope
from leadline.runtime.http.endpoint import (
    Handler,
    authorize,
    endpoint,
    parse_query,
    require_json,
    validate,
)
from leadline.runtime.telemetry import trace_context
from leadline.users.model import NO_STAGE, Batch, BatchItem, Changes, Move, NewUser
from leadline.users.views import Query
from tests.unit.conftest import Configure

KEY = "k3y-of-the-tests-of-128-bits"


def answer_to(handler: Handler, request: Request) -> werkzeug.Response:
    """The handler's answer to this request."""
    return werkzeug.Response.from_app(handler(request), request.environ)


def request_for(path: str, method: str = "GET", **headers: str) -> Request:
    return Request(EnvironBuilder(path=path, method=method, headers=Headers(headers)).get_environ())


@pytest.mark.parametrize("prefix", ["", "/function/update-user", "/function/move.openfaas-fn"])
@pytest.mark.parametrize("path", ["/users/1", "/users/1/", "/1", "?id=1", "/?id=1", "/users?id=1"])
def test_each_form_of_path_names_the_user(prefix: str, path: str) -> None:
    whole = prefix + path if prefix else f"/{path.removeprefix('/')}"
    assert user_id(request_for(whole)) == 1


@pytest.mark.parametrize(
    "path", ["/users/1/move", "/1/move", "/users/1", "/move?id=1", "/users/move?id=1", "/?id=1"]
)
def test_a_move_may_be_named_in_its_path(path: str) -> None:
    assert user_id(request_for(path), "/move") == 1
    assert user_id(request_for(f"/function/move-user{path}"), "/move") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/users",
        "/users/abc",
        "/users/0",
        "/users/-1",
        "/users/1.0",
        "/users/1/move",
        "/users/1/2",
        "/users//1",
        "//1",
        "/users/٣",
        "/users/1%00",
        "/users/9223372036854775808",
        "/users/99999999999999999999999999",
        "/?id=",
        "/?id=abc",
        "/?id=1;DROP",
        "/other/1",
    ],
)
def test_a_path_without_a_possible_user_id_gets_a_404(path: str) -> None:
    with pytest.raises(UserNotFound):
        user_id(request_for(path))


def test_the_greatest_possible_id_is_accepted() -> None:
    assert user_id(request_for("/users/9223372036854775807")) == 2**63 - 1


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_path_names_a_user_or_gets_a_404(path: str) -> None:
    environ = EnvironBuilder(path="/").get_environ()
    environ["PATH_INFO"] = ("/" + path).encode().decode("latin-1")
    with contextlib.suppress(UserNotFound):
        assert 1 <= user_id(Request(environ), "/move") < 2**63


@pytest.mark.parametrize("path", ["/", "/users", "/users/", "/function/create-user/users"])
def test_the_collection_accepts_several_forms_of_its_path(path: str) -> None:
    require_collection(request_for(path))
    with pytest.raises(PathNotFound):
        require_collection(request_for(path.rstrip("/") + "/1"))


def respond(
    error: Exception | None = None, method: str = "GET", **headers: str
) -> werkzeug.Response:
    @endpoint("GET", "HEAD")
    def guarded(_request: Request) -> Response:
        if error is not None:
            raise error
        return Response("fine")

    return answer_to(guarded, request_for("/", method, **headers))


@pytest.fixture
def auth_off(configure: Configure) -> None:
    configure(auth="off")


@pytest.mark.usefixtures("auth_off")
def test_errors_are_problem_details() -> None:
    fields: list[FieldError] = [{"field": "phone", "message": "is missing"}]
    answer = respond(InvalidRequest("Some fields are invalid.", fields=fields))
    assert answer.status_code == 422
    assert answer.content_type == problem.CONTENT_TYPE
    assert answer.json == {
        "type": "/docs/problems#invalid_fields",
        "code": "invalid_fields",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "Some fields are invalid.",
        "errors": fields,
    }


@pytest.mark.usefixtures("auth_off")
def test_an_error_without_a_text_has_that_of_its_class() -> None:
    assert json.loads(respond(RequestInProgress()).data)["detail"].startswith("A request with this")
    assert respond(RequestInProgress()).headers["Retry-After"] == "1"


@pytest.mark.usefixtures("auth_off")
def test_an_unexpected_error_reveals_nothing() -> None:
    answer = respond(RuntimeError("secret of Ivanka"))
    assert answer.status_code == 500
    assert answer.content_type == problem.CONTENT_TYPE
    assert b"Ivanka" not in answer.data


@pytest.mark.usefixtures("auth_off")
def test_an_error_for_another_method_lists_the_allowed_ones() -> None:
    answer = respond(method="POST")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("key", "method", "scopes", "status"),
    [
        ("read:{}", "GET", {}, 200),
        ("read:{}", "HEAD", {}, 200),
        ("read:{}", "POST", {}, 403),
        ("write:{}", "GET", {}, 403),
        ("write:{}", "POST", {}, 200),
        ("read,write:{}", "POST", {"write_scope": "operate"}, 403),
        ("operate:{}", "POST", {"write_scope": "operate"}, 200),
        ("operate:{}", "GET", {"read_scope": "operate"}, 200),
        ("operate:{}", "POST", {"write_scope": "internal"}, 403),
        ("{}", "DELETE", {}, 405),
        ("{}", "POST", {"write_scope": "operate"}, 403),
    ],
)
def test_a_method_requires_its_scope(
    monkeypatch: pytest.MonkeyPatch, key: str, method: str, scopes: dict[str, Scope], status: int
) -> None:
    monkeypatch.setenv("API_KEYS", key.format(KEY))

    @endpoint("GET", "HEAD", "POST", **scopes)
    def guarded(_request: Request) -> Response:
        return Response("fine")

    answer = answer_to(guarded, request_for("/", method, Authorization=f"Bearer {KEY}"))
    assert answer.status_code == status
    assert answer_to(guarded, request_for("/", method)).status_code == 401
    # A key that is unknown to an internal function lacks no scope.
    if status == 403 and scopes != {"write_scope": "internal"}:
        assert answer.content_type == problem.CONTENT_TYPE
        challenge = answer.headers["WWW-Authenticate"].split('"')
        assert "insufficient_scope" in challenge
        required_scope = challenge[-2]  # the last quoted value
        assert f"scope `{required_scope}`" in json.loads(answer.data)["detail"]


def test_a_page_without_data_needs_no_key_but_its_data_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEYS", f"read:{KEY}")

    @endpoint("GET", read_scope=None)
    def page(request: Request) -> Response:
        if request.path == "/data":
            authorize(request, "read")
        return Response("fine")

    assert answer_to(page, request_for("/")).status_code == 200
    assert answer_to(page, request_for("/data")).status_code == 401
    assert answer_to(page, request_for("/data", Authorization=f"Bearer {KEY}")).status_code == 200


@pytest.mark.usefixtures("auth_off")
def test_an_answer_has_its_correlation_id() -> None:
    assert respond(error=None, **{"X-Call-Id": "call-1"}).headers["X-Call-Id"] == "call-1"
    assert len(respond(error=None, **{"X-Call-Id": "я" * 10}).headers["X-Call-Id"]) == 32
    assert respond(LeadlineError(), **{"X-Call-Id": "call-2"}).headers["X-Call-Id"] == "call-2"


def version_3() -> int:
    """Stands for the read of the user's version, which is needed only if the tag names several."""
    return 3


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        *(("*", None), ('"3"', 3), ("3", 3), (' "3" ', 3)),
        # RFC 9110, 13.1.1: one of them has to match.
        *(('"2", "3"', 3), ('"3","x", W/"4" ', 3), ('"2", "2"', 2)),
    ],
)
def test_if_match_names_versions(tag: str, version: int | None) -> None:
    request = request_for("/", **{"If-Match": tag})
    assert writes.expected_version(request, version_3) == version
    assert writes.expected_version(request_for("/"), version_3) is None


@pytest.mark.parametrize(
    "tag",
    ["", '"', '""', '"abc"', 'W/"3"', '"1", "2"', 'W/"3", W/"2"', "9" * 19, "-1", "٣", "*, *"],
)
def test_an_impossible_etag_matches_no_version(tag: str) -> None:
    environ = EnvironBuilder(path="/").get_environ()
    environ["HTTP_IF_MATCH"] = tag
    with pytest.raises(VersionMismatch):
        writes.expected_version(Request(environ), version_3)


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "nonsense"])
def test_a_compressed_body_is_answered_with_what_to_do(encoding: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    with pytest.raises(InvalidRequest, match="uncompressed") as caught:
        require_json(request_for("/", **headers))
    assert caught.value.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    require_json(request_for("/", **{**headers, "Content-Encoding": "identity"}))


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_an_idempotency_key_has_a_maximum_length(key: str) -> None:
    request = request_for("/", **{"Idempotency-Key": key})
    with pytest.raises(InvalidRequest) as caught:
        writes.idempotency_key(request, "create")
    assert caught.value.status == HTTPStatus.BAD_REQUEST


def test_a_keys_fingerprint_depends_on_the_whole_request() -> None:
    def fingerprint(*parts: object, **headers: str) -> bytes:
        request = request_for("/", **{"Idempotency-Key": "k", **headers})
        trace_context.set_caller("me")
        key = writes.idempotency_key(request, *parts)
        assert key is not None
        return key.fingerprint

    same = fingerprint("update", 1, "Ann")
    assert fingerprint("update", 1, "Ann") == same
    others = [fingerprint("move", 1, "Ann"), fingerprint("update", 2, "Ann")]
    others += [
        fingerprint("update", 1, "Bob"),
        fingerprint("update", 1, "Ann", **{"If-Match": "3"}),
    ]
    assert len({same, *others}) == 5


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            NewUser(full_name="Ann", phone="+77001112233"),
            "NewUser(full_name='Ann', phone='+77001112233', stage='NEW')",
        ),
        (Changes(stage="JUNK"), "Changes(full_name=None, phone=None, stage='JUNK')"),
    ],
)
def test_a_key_of_the_previous_release_is_recognised(body: object, text: str) -> None:
    """In an upgrade two releases run side by side, and a repeat may reach the other one."""
    key = writes.idempotency_key(request_for("/", **{"Idempotency-Key": "k"}), "create", body)
    assert key
    assert key.fingerprint == hashlib.sha256(f"(None, 'create', {text})".encode()).digest()
    other = body.model_copy(update={"external_id": "a"})  # type: ignore[attr-defined]
    other_key = writes.idempotency_key(
        request_for("/", **{"Idempotency-Key": "k"}), "create", other
    )
    assert other_key
    assert other_key.fingerprint != key.fingerprint


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "after=-1",
        "after=9223372036854775808",
        "sync=lost",
        "stage=%00",
        "offset=1",
        "stage=" + "x" * 51,
    ],
)
def test_an_invalid_query_gets_a_422(query: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_query(Query, request_for(f"/users?{query}"))
    assert caught.value.status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert [field["field"] for field in caught.value.fields] == [query.partition("=")[0]]


def test_a_query_has_defaults() -> None:
    query = parse_query(Query, request_for("/users?stage=NEW&after=7"))
    expected = {"stage": "NEW", "limit": 50, "after": 7}
    assert query.model_dump(exclude_none=True) == expected


@pytest.mark.parametrize(
    ("model", "body", "errors"),
    [
        (NewUser, {}, {"full_name": "is required", "phone": "is required"}),
        (NewUser, [], {"body": "must be a JSON object"}),
        (
            NewUser,
            {"full_name": "", "phone": 7, "age": 1},
            {
                "full_name": "must not be empty",
                "phone": "must be a string",
                "age": "is not a field of this request",
            },
        ),
        (
            NewUser,
            {"full_name": "x" * 101, "phone": "1"},
            {
                "full_name": "must have at most 100 characters",
                "phone": "must be a phone number with country code, like +77001112233",
            },
        ),
        (Move, {"stage": "new"}, {"stage": NO_STAGE}),
        (Batch, {"users": []}, {"users": "must have at least 1 entries"}),
        (Batch, {"users": 1}, {"users": "must be a list"}),
        (
            BatchItem,
            {"full_name": "A", "phone": "+77001112233", "external_id": " "},
            {"external_id": "must not begin or end with white space"},
        ),
        (
            Query,
            {"limit": "x", "sync": "no"},
            {
                "limit": "must be an integer",
                "sync": "must be one of 'waiting', 'synced' or 'failed'",
            },
        ),
    ],
)
def test_each_invalid_field_is_explained_in_a_sentence(
    model: type[BaseModel], body: object, errors: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate(model, body)
    assert {field["field"]: field["message"] for field in caught.value.fields} == errors
