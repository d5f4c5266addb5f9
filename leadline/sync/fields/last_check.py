"""The result of the last check of the field map against the portal, stored in Redis."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import orjson
import structlog

from leadline.errors import QueueError
from leadline.mapping.current import field_map, is_new
from leadline.mapping.portal_fields import Misfit
from leadline.process import per_process
from leadline.runtime.once_per_interval import Interval
from leadline.runtime.redis import client, reachable
from leadline.workqueue.queue import work_queue

log = structlog.get_logger()

#: How often a process reads the last check when writes are refused.
_READ_EVERY_S = 60.0
#: How long a result is kept without another check.
_KEEP_S = 30 * 86400
#: How long a request for a check stays valid.
_REQUEST_TTL_S = 3600


@dataclass(frozen=True, slots=True)
class FieldCheck:
    """The result of a check."""

    #: Unix seconds.
    checked_at: float
    #: Digest of the map that was checked.
    digest: str
    misfits: Sequence[Misfit] = ()
    #: The portal's titles of all its fields by name, as its errors quote them.
    titles: Mapping[str, str] = field(default_factory=dict)
    #: The check is of an earlier map, and a check of the current map follows soon: a refusal that
    #: this check does not explain is no reason to give up.
    is_outdated: bool = False


NO_CHECK = FieldCheck(checked_at=0, digest="")


class _Recent:
    """The last check, cached by this process."""

    def __init__(self) -> None:
        self._reads = Interval(_READ_EVERY_S)
        self._check: FieldCheck | None = None

    def current(self) -> FieldCheck:
        if self._is_of_another_map() or self._reads.claim():
            with contextlib.suppress(QueueError):
                self._check = load()
        check = self._check or NO_CHECK
        return replace(check, is_outdated=is_new() and self._is_of_another_map())

    def _is_of_another_map(self) -> bool:
        """Whether the cached check is missing, or of another map than the current one."""
        mapping = field_map()
        return self._check is None or mapping is None or self._check.digest != mapping.digest


@per_process
def _recent() -> _Recent:
    return _Recent()


def request_and_read() -> FieldCheck:
    """Request another check, and read the last one, by which a refused write is interpreted.

    What is returned may be up to a minute old if it is of the current map. Without Redis, requests
    nothing, and returns the check that this process read last.
    """
    try:
        request()
    except QueueError:
        log.warning("field map check not requested: Redis can't be reached")
    return _recent().current()


@reachable()
def load() -> FieldCheck | None:
    """The last check; None if there was none.

    Raises:
        QueueDown: Redis can't be reached.
    """
    stored = client().get(_key("field_check"))
    if not isinstance(stored, bytes):
        return None
    content = orjson.loads(stored)
    misfits = [Misfit(**misfit) for misfit in content.pop("misfits")]
    return FieldCheck(**content, misfits=misfits)


@reachable()
def store(check: FieldCheck) -> None:
    """Store a check.

    Raises:
        QueueDown: Redis can't be reached.
    """
    content = asdict(check)
    del content["is_outdated"]  # it is about the moment of reading
    client().set(_key("field_check"), orjson.dumps(content), ex=_KEEP_S)


@dataclass(frozen=True, slots=True)
class ResyncProgress:
    """The progress of the resync of users with open fields after a check."""

    #: What the check found: the digest of the map, and its misfits.
    result: str = ""
    #: Id of the last user resynced, 0 before the first; None: all are done.
    after: int | None = 0


@reachable()
def resync_progress() -> ResyncProgress:
    """The progress of the resync after the last check.

    Raises:
        QueueDown: Redis can't be reached.
    """
    stored = client().get(_key("field_sweep"))
    return ResyncProgress(**orjson.loads(stored)) if isinstance(stored, bytes) else ResyncProgress()


@reachable()
def store_resync_progress(progress: ResyncProgress) -> None:
    """Store the progress.

    Raises:
        QueueDown: Redis can't be reached.
    """
    client().set(_key("field_sweep"), orjson.dumps(asdict(progress)), ex=_KEEP_S)


@reachable()
def request() -> None:
    """Have the next process that may call the portal check the map.

    Raises:
        QueueDown: Redis can't be reached.
    """
    client().set(_key("field_check_wanted"), 1, ex=_REQUEST_TTL_S)


@reachable()
def claim_requested() -> bool:
    """Claim the check that was requested, if any.

    Raises:
        QueueDown: Redis can't be reached.
    """
    return bool(client().delete(_key("field_check_wanted")))


def _key(name: str) -> str:
    return f"{work_queue().prefix}{name}"
