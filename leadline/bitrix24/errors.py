"""Maps Bitrix24's errors to our classes.

Sources: https://apidocs.bitrix24.com/error-codes.html, …/limits.html and the CRM methods' pages.
Codes come in upper or lower case; the lead methods send the code `""` with a sentence.
"""

from http import HTTPStatus

from leadline.errors import (
    BitrixError,
    LeadGone,
    OutcomeUnknown,
    PortalDown,
    Refused,
    Rejected,
)

_BY_CODE: dict[str, type[BitrixError]] = {
    # Nothing ran.
    "query_limit_exceeded": Refused,
    "operation_time_limit": Refused,
    # It may have run.
    "internal_server_error": OutcomeUnknown,
    "error_unexpected_answer": OutcomeUnknown,
    # The webhook, its rights, the subscription or the portal itself: all calls fail.
    "overload_limit": PortalDown,
    "no_auth_found": PortalDown,
    "expired_token": PortalDown,
    "invalid_token": PortalDown,
    "invalid_credentials": PortalDown,
    "insufficient_scope": PortalDown,
    "user_access_error": PortalDown,
    "wrong_auth_type": PortalDown,
    "payment_required": PortalDown,
    "portal_deleted": PortalDown,
    "invalid_request": PortalDown,
    "allowed_only_intranet_user": PortalDown,
    # The lead is gone: another one is looked up, or else created.
    "not_found": LeadGone,
    # This record is invalid, or we made a mistake: a retry fails too.
    "error_method_not_found": Rejected,
    "error_batch_length_exceeded": Rejected,
    "error_batch_method_not_allowed": Rejected,
    "error_manifest_is_not_available": Rejected,
}
#: Codes of an invalid value, if the status is 4xx; `""` then comes with a sentence.
_VALUE_CODES = frozenset(
    {"", "100", "invalid_arg_value", "invalid_field", "error_argument", "error_core"}
)
#: Also codes of an invalid value: CRM_FIELD_ERROR_VALUE_NOT_VALID and others.
_FIELD_CODE_PREFIX = "crm_field_error"

_BY_STATUS: dict[int, type[BitrixError]] = {
    HTTPStatus.UNAUTHORIZED: PortalDown,
    HTTPStatus.FORBIDDEN: PortalDown,
    HTTPStatus.TOO_MANY_REQUESTS: Refused,
}

#: Maximum characters of a portal's text and of its code.
TEXT_MAX = 500
CODE_MAX = 100


def classify(status: int, code: object, description: object) -> BitrixError:
    """Map the error of a JSON answer to a class of ours; an unknown code is OutcomeUnknown.

    `status` is the HTTP status; 400 for a command of a batch, which has none.
    """
    # A code that is neither text nor number must not count as missing.
    name = bounded(code, CODE_MAX) or ("?" if code else "")
    sentence = bounded(description, TEXT_MAX)
    text = sentence or name or f"HTTP {status}"
    return _class_of(status, name.lower(), sentence.lower())(text, code=name or str(status))


def bounded(value: object, length: int) -> str:
    """A portal's text or number as one printable line of this length at most; else ""."""
    if isinstance(value, int) and value:
        value = str(value)
    if not isinstance(value, str):
        return ""
    beginning = value[: 4 * length]  # more than is kept: white space is collapsed
    printable = "".join(char if char.isprintable() else " " for char in beginning)
    return " ".join(printable.split())[:length]


def unreadable(status: int) -> BitrixError:
    """The error of an answer that is not JSON: a gateway's page, or a truncated body."""
    text = f"HTTP {status} without a readable answer"
    # A 404 page comes from a web server that does not have this portal.
    if status in _BY_STATUS or status == HTTPStatus.NOT_FOUND:
        return _BY_STATUS.get(status, PortalDown)(text, code=str(status))
    return OutcomeUnknown(text, code=str(status), may_still_run=True)


def _class_of(status: int, code: str, description: str) -> type[BitrixError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code == "access_denied":
        # With 403 it concerns the portal's subscription, with any other status this one record.
        return PortalDown if status == HTTPStatus.FORBIDDEN else Rejected
    if code == "" and description == "not found":
        return LeadGone
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    is_value_error = code in _VALUE_CODES or code.startswith(_FIELD_CODE_PREFIX)
    if is_client_error and is_value_error and (code or description):
        return Rejected
    return OutcomeUnknown
