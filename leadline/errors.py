"""Every error of Leadline, as one tree.

LeadlineError
├── InvalidRequest            400, 413, 415, 422: the client must change the request
│   ├── IdempotencyKeyReused  422: the key was used for another request
│   └── DuplicateExternalId   422: an earlier user of the batch has the same external id
├── Unauthorized              401: no key was sent
├── Forbidden                 403: the key is unknown
│   ├── ExpiredKey            403: the key has expired
│   └── MissingScope          403: the key lacks the required scope
├── UserNotFound              404
├── UserErased                410: the person was erased, the id stays taken
├── PathNotFound              404: no route
├── MethodNotAllowed          405
├── RequestInProgress         409: the same idempotency key is in use, repeat soon
├── ExternalIdTaken           409: another user has this external id
├── VersionMismatch           412: the precondition failed
├── TooManyRequests           429: over the rate limit of this key, or of refused callers
├── DependencyDown            503: safe to repeat
│   ├── DatabaseDown          Postgres
│   │   └── DatabaseBusy      a lock was held for too long; nothing was written
│   ├── BrokerDown            RabbitMQ
│   └── QueueDown             Redis; also a QueueError
├── QueueError                the work queue in Redis could not be used
│   └── QueueDefect           Redis refuses a command that a retry won't make valid
├── BadMessage                can never be processed: dead letter
├── BadConfiguration          a setting is missing or invalid: the operator must change it
└── BitrixError
    ├── Refused               nothing ran: wait, spend no attempt
    │   └── LeaseTooShort     our own check: the lease could end before the call does
    ├── Unavailable           nothing ran: retry
    ├── OutcomeUnknown        may have run: look the lead up first
    ├── RequestRejected       one record of the request is at fault: send each alone
    ├── Rejected              this record is invalid: do not retry
    │   └── LeadGone          the portal has no such lead any more
    └── PortalDown            concerns the whole portal: open the circuit breaker
"""

from http import HTTPStatus

from typing_extensions import TypedDict  # required by pydantic before Python 3.12


class FieldError(TypedDict):
    """An invalid or missing field and the reason, without its value."""

    field: str
    message: str


class LeadlineError(Exception):
    """An error whose class says how to handle it; the docstring is the default text."""

    #: The stable name of the error's problem type, for clients (docs/problems.md).
    problem = "internal_error"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s: int | None = None

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").split("\n", maxsplit=1)[0]
        super().__init__(self.detail)


class InvalidRequest(LeadlineError):
    """The request is invalid."""

    problem = "invalid_fields"
    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(
        self,
        detail: str | None = None,
        *,
        status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY,
        problem: str | None = None,
        fields: list[FieldError] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem or type(self).problem
        self.fields = fields or []


class IdempotencyKeyReused(InvalidRequest):
    """This idempotency key was used for another request."""

    problem = "idempotency_key_reused"


class DuplicateExternalId(InvalidRequest):
    """An earlier user of this batch has the same external id."""

    problem = "duplicate_external_id"


class Unauthorized(LeadlineError):
    """An `Authorization: Bearer <key>` header is required."""

    problem = "key_missing"
    status = HTTPStatus.UNAUTHORIZED


class Forbidden(LeadlineError):
    """This key is not known."""

    problem = "key_unknown"
    status = HTTPStatus.FORBIDDEN


class ExpiredKey(Forbidden):
    """This key has expired."""

    problem = "key_expired"


class MissingScope(Forbidden):
    """This key lacks the required scope."""

    problem = "scope_missing"

    def __init__(self, scope: str) -> None:
        super().__init__(f"This key does not have the scope `{scope}`.")
        self.scope = scope


class UserNotFound(LeadlineError):
    """There is no such user."""

    problem = "user_not_found"
    status = HTTPStatus.NOT_FOUND


class UserErased(LeadlineError):
    """This user was erased."""

    problem = "user_erased"
    status = HTTPStatus.GONE


class PathNotFound(LeadlineError):
    """There is nothing at this path."""

    problem = "path_not_found"
    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(LeadlineError):
    """This path does not support this method."""

    problem = "method_not_allowed"
    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class RequestInProgress(LeadlineError):
    """A request with this idempotency key is still in progress."""

    problem = "request_in_progress"
    status = HTTPStatus.CONFLICT
    retry_after_s = 1


class ExternalIdTaken(LeadlineError):
    """Another user has this external id."""

    problem = "external_id_taken"
    status = HTTPStatus.CONFLICT


class VersionMismatch(LeadlineError):
    """The user has changed since the version in If-Match."""

    problem = "version_mismatch"
    status = HTTPStatus.PRECONDITION_FAILED


class TooManyRequests(LeadlineError):
    """This key has exceeded its rate of writes."""

    problem = "rate_limited"
    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after_s: int, detail: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class DependencyDown(LeadlineError):
    """A required server can't be reached; repeating is safe."""

    problem = "dependency_unavailable"
    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 5


class DatabaseDown(DependencyDown):
    """Postgres can't be reached."""


class DatabaseBusy(DatabaseDown):
    """Another transaction held a lock for too long; nothing was written."""


class BrokerDown(DependencyDown):
    """RabbitMQ can't be reached, or did not confirm."""


class QueueError(LeadlineError):
    """The work queue in Redis could not be used."""


class QueueDown(DependencyDown, QueueError):
    """Redis can't be reached."""


class QueueDefect(QueueError):
    """Redis refused a command, or its answer is damaged; the cause says which."""


class BadMessage(LeadlineError):
    """The message can never be processed."""

    problem = "bad_message"
    status = HTTPStatus.UNPROCESSABLE_ENTITY


class BadConfiguration(LeadlineError):
    """A setting is missing or invalid."""


class BitrixError(LeadlineError):
    """A call to Bitrix24 failed."""

    def __init__(self, detail: str | None = None, *, code: str = "") -> None:
        super().__init__(detail)
        self.code = code  # Bitrix24's own error code; "" if it sent none
        #: HTTP status of the response, if a whole request failed and got a response.
        self.http_status: int | None = None


class Refused(BitrixError):
    """Bitrix24 refused the call and ran nothing."""


class LeaseTooShort(Refused):
    """The lease could end before the call does; nothing was sent."""


class Unavailable(BitrixError):
    """Bitrix24 could not be reached; nothing was sent."""


class OutcomeUnknown(BitrixError):
    """The call may or may not have run."""

    def __init__(
        self, detail: str | None = None, *, code: str = "", may_still_run: bool = False
    ) -> None:
        super().__init__(detail, code=code)
        #: Bitrix24 itself did not answer: the call may run on until the portal's time limit.
        self.may_still_run = may_still_run


class RequestRejected(BitrixError):
    """Bitrix24 rejected the whole request; it is unknown which record is at fault."""


class Rejected(BitrixError):
    """Bitrix24 will not accept this record as it is."""


class LeadGone(Rejected):
    """The portal no longer has this lead."""


class PortalDown(BitrixError):
    """The portal rejects every call: invalid webhook, expired subscription, or it is gone."""
