"""Every error in Bitrix24's table, and the class of unknown ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.bitrix24.errors import classify, unreadable
from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
)

#: Documented errors (https://apidocs.bitrix24.com/error-codes.html, limits.html, methods): status,
#: code, description, and our class.
TABLE: list[tuple[int, str, str, type[BitrixError]]] = [
    (503, "QUERY_LIMIT_EXCEEDED", "Too many requests", Refused),
    (429, "QUERY_LIMIT_EXCEEDED", "Too many requests", Refused),
    (429, "OPERATION_TIME_LIMIT", "Method is blocked", Refused),
    (503, "OVERLOAD_LIMIT", "REST API is blocked due to overload.", PortalDown),
    (500, "INTERNAL_SERVER_ERROR", "Internal server error", OutcomeUnknown),
    (500, "ERROR_UNEXPECTED_ANSWER", "Server returned an unexpected response", OutcomeUnknown),
    (401, "NO_AUTH_FOUND", "Wrong authorization data", PortalDown),
    (401, "expired_token", "The access token has expired", PortalDown),
    (401, "invalid_token", "Unable to get application by token", PortalDown),
    (403, "INVALID_CREDENTIALS", "Invalid request credentials", PortalDown),
    (403, "insufficient_scope", "The request requires higher privileges", PortalDown),
    (401, "insufficient_scope", "The request requires higher privileges", PortalDown),
    (403, "user_access_error", "The user does not have access", PortalDown),
    (403, "WRONG_AUTH_TYPE", "Current authorization type is denied", PortalDown),
    (403, "ACCESS_DENIED", "REST API is available only on commercial plans", PortalDown),
    (401, "PAYMENT_REQUIRED", "Subscription has been ended", PortalDown),
    (500, "PORTAL_DELETED", "Portal was deleted", PortalDown),
    (410, "PORTAL_DELETED", "Portal was deleted", PortalDown),
    (403, "PORTAL_DELETED", "Portal was deleted", PortalDown),
    (400, "ACCESS_DENIED", "Access denied", Rejected),
    (400, "", "Access denied.", Rejected),
    (400, "", "Not found", LeadGone),
    (400, "", "ID is not defined or invalid.", Rejected),
    (400, "", "The required field 'TITLE' is missing", Rejected),
    (400, "CRM_FIELD_ERROR_VALUE_NOT_VALID", "Invalid value of field Stage", Rejected),
    (400, "100", "Invalid value {} to match with parameter", Rejected),
    (400, "INVALID_ARG_VALUE", "Invalid value", Rejected),
    (400, "CRM_FIELD_ERROR_REQUIRED", "Required field", Rejected),
    (400, "ERROR_CORE", "Поле «E-mail» содержит некорректный адрес", Rejected),
    (400, "ERROR_ARGUMENT", "Argument 'id' is null or empty", Rejected),
    (400, "", "A sentence that no list has", Rejected),
    (400, "NOT_FOUND", "Smart process not found", Rejected),
    (400, "ERROR_METHOD_NOT_FOUND", "Method not found!", Rejected),
    (404, "ERROR_METHOD_NOT_FOUND", "Method not found!", Rejected),
    (400, "INVALID_REQUEST", "Https required.", PortalDown),
    (400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded", Rejected),
    (405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage", Rejected),
    (403, "allowed_only_intranet_user", "Only intranet users", PortalDown),
    (404, "ERROR_MANIFEST_IS_NOT_AVAILABLE", "Manifest is not available", Rejected),
]


@pytest.mark.parametrize(("status", "code", "text", "expected"), TABLE)
def test_errors_are_classified_whatever_the_case_of_their_code(
    status: int, code: str, text: str, expected: type[BitrixError]
) -> None:
    for written in (code, code.lower(), code.upper(), code.title()):
        error = classify(status, written, text)
        assert isinstance(error, expected)
        assert error.detail == text
        assert error.code == (written or str(status))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, OutcomeUnknown),
        (400, OutcomeUnknown),
        (401, PortalDown),
        (403, PortalDown),
        (404, OutcomeUnknown),
        (422, OutcomeUnknown),
        (429, Refused),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, OutcomeUnknown),
    ],
)
def test_an_unknown_code_is_classified_by_the_status_and_never_permanent(
    status: int, expected: type[BitrixError]
) -> None:
    assert type(classify(status, "SOMETHING_NEW", "?")) is expected
    assert type(classify(status, ["INVALID_ARG_VALUE"], "Invalid value")) is expected
    assert type(classify(status, None, None)) is expected


@pytest.mark.parametrize("code", ["", "100", "ERROR_CORE", "CRM_FIELD_ERROR_VALUE_NOT_VALID"])
def test_a_value_error_is_permanent_only_with_a_status_of_4xx(code: str) -> None:
    assert type(classify(500, code, "Invalid value")) is OutcomeUnknown


@settings(deadline=None)
@given(
    st.sampled_from([200, 400, 503]),
    st.one_of(st.text(), st.integers(), st.recursive(st.none(), st.lists)),
    st.one_of(st.text(), st.integers(), st.recursive(st.none(), st.lists)),
    st.integers(1, 100_000),
)
def test_a_text_of_any_length_fits_into_a_reply(
    status: int, code: object, text: object, times: int
) -> None:
    long = (text * times)[:100_000] if isinstance(text, str) else text
    error = classify(status, code, long)
    assert 0 < len(error.detail) <= 500
    assert 0 < len(error.code) <= 100
    assert error.detail.isprintable()
    assert error.code.isprintable()


@given(st.integers(200, 599), st.one_of(st.none(), st.text(), st.integers()), st.text())
def test_any_error_is_classified_and_has_a_text(status: int, code: object, text: str) -> None:
    error = classify(status, code, text)
    assert isinstance(error, BitrixError)
    assert error.detail


def test_error_texts_become_one_line_without_control_characters() -> None:
    assert classify(400, "A\x00B", "one\x00two\r\n\x1b[31mthree\u202e").code == "A B"
    assert classify(400, "", "one\x00two\r\n\x1b[31m three\u202e").detail == "one two [31m three"
    assert classify(400, "", "Ошибка в поле «Имя»").detail == "Ошибка в поле «Имя»"


@given(st.integers(500, 599))
def test_a_server_error_always_leaves_the_outcome_unknown(status: int) -> None:
    assert isinstance(unreadable(status), OutcomeUnknown)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_an_html_page_from_a_closed_portal_pauses_calls(status: int) -> None:
    assert isinstance(unreadable(status), PortalDown)


def test_an_html_page_leaves_the_outcome_unknown() -> None:
    for status in (200, 502, 504):
        error = unreadable(status)
        assert isinstance(error, OutcomeUnknown)
        assert error.may_still_run
    assert isinstance(unreadable(429), Refused)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 502])
def test_an_html_page_is_reported_by_its_status(status: int) -> None:
    error = unreadable(status)
    assert error.detail == f"HTTP {status} without a readable answer"
    assert error.code == str(status)


@pytest.mark.parametrize(
    ("code", "description", "error_code", "detail"),
    [
        ("SOME_CODE", "", "SOME_CODE", "SOME_CODE"),
        ("SOME_CODE", None, "SOME_CODE", "SOME_CODE"),
        (100, 7, "100", "7"),
        (0, 0, "400", "HTTP 400"),
        (None, None, "400", "HTTP 400"),
        (["x"], {"a": 1}, "?", "?"),
        (["x"], "no", "?", "no"),
        (1.5, True, "?", "True"),
    ],
)
def test_an_error_is_reported_by_its_description_else_its_code_else_the_status(
    code: object, description: object, error_code: str, detail: str
) -> None:
    error = classify(400, code, description)
    assert (error.code, error.detail) == (error_code, detail)
