"""Everything that can go wrong, as one tree: what to catch is read here.

LeadlineError
├── InvalidRequest            400, 413, 415, 422: the caller must change the request
├── Unauthorized              401: no key
├── Forbidden                 403: a wrong key
│   ├── ExpiredKey            403: a key whose last day is over
│   └── MissingScope          403: a key that does not open this
├── UserNotFound              404
├── MethodNotAllowed          405
├── StillServed               409: the same idempotency key is being served, repeat soon
├── VersionMismatch           412: somebody was faster
├── TooManyRequests           429: this key writes too fast, or too many were refused
├── DependencyDown            503: safe to repeat
│   ├── DatabaseDown
│   ├── BrokerDown
│   └── QueueDown             Redis
├── BadMessage                a message that can never be served: dead letter
├── BadConfiguration          a setting is missing or senseless: the process does not start
└── BitrixError
    ├── Refused               nothing ran: wait, not an attempt
    │   └── TooLate           by our own choice: the lease might have ended before the call
    ├── Unavailable           nothing ran: try again
    ├── OutcomeUnknown        may have run: look the lead up first
    ├── RequestRejected       the whole request, by one of its records: try each alone
    ├── Rejected              this record can never be accepted as it is
    │   └── LeadGone          the lead is not in the portal any more
    └── PortalDown            concerns the whole portal: pause everything
"""

from http import HTTPStatus

from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12


class FieldError(TypedDict):
    """A field that is missing or invalid, and why; never its value."""

    field: str
    message: str


class LeadlineError(Exception):
    """Something went wrong; the class says what can be done about it."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s: int | None = None

    def __init__(self, detail: str | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").split("\n", maxsplit=1)[0]
        super().__init__(self.detail)


class InvalidRequest(LeadlineError):
    """The request can't be accepted as it is."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(
        self,
        detail: str | None = None,
        *,
        status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY,
        fields: list[FieldError] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        #: One entry a field.
        self.fields = fields or []


class Unauthorized(LeadlineError):
    """An `Authorization: Bearer <key>` header is required."""

    status = HTTPStatus.UNAUTHORIZED


class Forbidden(LeadlineError):
    """This key is not known."""

    status = HTTPStatus.FORBIDDEN


class ExpiredKey(Forbidden):
    """This key has expired."""


class MissingScope(Forbidden):
    """This key does not open this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This key does not have the scope `{scope}`.")
        #: What the key would have to open.
        self.scope = scope


class UserNotFound(LeadlineError):
    """There is no such user."""

    status = HTTPStatus.NOT_FOUND


class PathNotFound(LeadlineError):
    """Nothing lives at this path."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(LeadlineError):
    """This path does not serve this method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: str) -> None:
        super().__init__()
        self.allowed = allowed


class StillServed(LeadlineError):
    """A request with this idempotency key is still being served."""

    status = HTTPStatus.CONFLICT
    retry_after_s = 1


class VersionMismatch(LeadlineError):
    """The user was changed since the version named in If-Match."""

    status = HTTPStatus.PRECONDITION_FAILED


class TooManyRequests(LeadlineError):
    """This key writes too fast."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, retry_after_s: int, detail: str | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class DependencyDown(LeadlineError):
    """A server that is needed can't be reached; repeating is safe."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after_s = 5


class DatabaseDown(DependencyDown):
    """Postgres can't be reached."""


class DatabaseBusy(DatabaseDown):
    """Somebody else holds a row for longer than we wait; nothing was written."""


class BrokerDown(DependencyDown):
    """RabbitMQ can't be reached or did not confirm."""


class QueueDown(DependencyDown):
    """Redis can't be reached."""


class BadMessage(LeadlineError):
    """The message can never be served."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class BadConfiguration(LeadlineError):
    """A setting is missing or makes no sense."""


class BitrixError(LeadlineError):
    """Bitrix24 did not do what it was asked to."""

    def __init__(self, detail: str | None = None, *, code: str = "") -> None:
        super().__init__(detail)
        #: Bitrix24's own error code, "" where it gave none.
        self.code = code


class Refused(BitrixError):
    """Bitrix24 refused the call before running it."""


class TooLate(Refused):
    """The lease may be over before the call would be; nothing was sent."""


class Unavailable(BitrixError):
    """Bitrix24 could not be reached, nothing was sent."""


class OutcomeUnknown(BitrixError):
    """The call may have run or not."""

    def __init__(
        self, detail: str | None = None, *, code: str = "", may_still_run: bool = False
    ) -> None:
        super().__init__(detail, code=code)
        #: No answer came from Bitrix24 itself: the portal may be at it for up to 60 s more.
        self.may_still_run = may_still_run


class RequestRejected(BitrixError):
    """Bitrix24 did not accept the request as a whole, so no one record is known to be at fault."""


class Rejected(BitrixError):
    """Bitrix24 will never accept this record as it is."""


class LeadGone(Rejected):
    """The lead is not in the portal any more."""


class PortalDown(BitrixError):
    """The portal serves nobody: webhook, plan or the portal itself."""
