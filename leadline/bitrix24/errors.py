"""What each of Bitrix24's errors means for us: the table, as data, in one place.

Sources: https://apidocs.bitrix24.com/error-codes.html, …/limits.html and the CRM methods' pages.
Codes come in any case; `""` with a sentence is the lead methods' habit.
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
    # Refused before anything ran.
    "query_limit_exceeded": Refused,
    "operation_time_limit": Refused,
    # It may have run.
    "internal_server_error": OutcomeUnknown,
    "error_unexpected_answer": OutcomeUnknown,
    # The webhook, its rights, the plan or the portal: nobody is served.
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
    # This record, or a mistake of ours: the same call fails each time.
    "not_found": LeadGone,
    "error_method_not_found": Rejected,
    "error_batch_length_exceeded": Rejected,
    "error_batch_method_not_allowed": Rejected,
    "error_manifest_is_not_available": Rejected,
}
#: A value was refused, if the status says so too; `""` then comes with a sentence.
_VALUE_CODES = frozenset(
    {"", "100", "invalid_arg_value", "invalid_field", "error_argument", "error_core"}
)
#: The same: CRM_FIELD_ERROR_VALUE_NOT_VALID and others.
_FIELD_CODE_PREFIX = "crm_field_error"

_BY_STATUS: dict[int, type[BitrixError]] = {
    HTTPStatus.UNAUTHORIZED: PortalDown,
    HTTPStatus.FORBIDDEN: PortalDown,
    HTTPStatus.TOO_MANY_REQUESTS: Refused,
}

#: A reply with a longer reason is refused by its reader.
TEXT_MAX = 500
CODE_MAX = 100


def classify(status: int, code: object, description: object) -> BitrixError:
    """The error of a JSON answer as one of our classes; unknown ones may have run.

    `status` is the HTTP status; a command inside a batch has none of its own, give 400.
    """
    name = bounded(code, CODE_MAX) or ("?" if code else "")
    sentence = bounded(description, TEXT_MAX)
    text = sentence or name or f"HTTP {status}"
    return _class_of(status, name.lower(), sentence.lower())(text, code=name or str(status))


def bounded(value: object, length: int) -> str:
    """A portal's text cut to this length, one line, printable; "" for what is no text or number."""
    if isinstance(value, int) and value:
        value = str(value)
    if not isinstance(value, str):
        return ""
    printable = (char if char.isprintable() else " " for char in value[: 4 * length])
    return " ".join("".join(printable).split())[:length]


def unreadable(status: int) -> BitrixError:
    """The error of an answer that is no JSON: a gateway's page or a cut-off body."""
    text = f"HTTP {status} without a readable answer"
    if status in _BY_STATUS or status == HTTPStatus.NOT_FOUND:
        return _BY_STATUS.get(status, PortalDown)(text, code=str(status))
    return OutcomeUnknown(text, code=str(status), may_still_run=True)


def _class_of(status: int, code: str, description: str) -> type[BitrixError]:
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code == "access_denied":
        # 403 speaks of the plan, anything else of this one record.
        return PortalDown if status == HTTPStatus.FORBIDDEN else Rejected
    if code == "" and description == "not found":
        return LeadGone
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    is_client_error = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    is_of_value = code in _VALUE_CODES or code.startswith(_FIELD_CODE_PREFIX)
    if is_client_error and is_of_value and (code or description):
        return Rejected
    return OutcomeUnknown
