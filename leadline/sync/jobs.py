"""The job: one call to Bitrix24 for all users that are due, up to a batch of them."""

from functools import cache

import structlog

from leadline.bitrix24 import leads
from leadline.bitrix24.limits import TokenBucket
from leadline.bitrix24.portal import MAX_COMMANDS, Answer, Command, Portal, portal
from leadline.runtime.errors import BitrixError, OutcomeUnknown, PortalDown, Refused
from leadline.runtime.redis import client
from leadline.runtime.settings import settings
from leadline.sync import driver, replies
from leadline.sync.entry import Entry, Settlement
from leadline.sync.pause import Pause
from leadline.sync.plan import (
    MAX_ATTEMPTS,
    LookUp,
    Plan,
    Write,
    applied,
    conflicting,
    failed,
    looked_up,
    plan,
)
from leadline.sync.queue import Leased, WorkQueue, work_queue

log = structlog.get_logger()

#: One method has used up its execution time; the others go on.
METHOD_LIMIT = "OPERATION_TIME_LIMIT"
#: After an unconfirmed reply its user is due again, to answer only.
REPLY_DELAY_MS = 2000


def call_bitrix24(portal: str) -> int:  # noqa: ARG001 - says in RQ's history which portal
    """Serve what is due; returns how many users were settled.

    Raises:
        BitrixError: the call as a whole failed; everything is written down, RQ only counts it.
        QueueDown: Redis can't be reached; leases expire and the users are due again.
    """
    driver.trim_history()
    queue, bucket = work_queue(), token_bucket()
    if queue.count_due() == 0 or not paused().is_over(session()):
        # An expired lease counts as due only once it is taken back.
        return len(queue.lease(0).entries)
    waited_s = bucket.wait()
    leased = queue.lease(MAX_COMMANDS)
    if leased.expired:
        log.warning("leases expired, their users are taken up again", stalled=leased.expired)
    if leased.still_due:
        driver.wake()
    if not leased.entries:
        bucket.give_back()
        return 0
    return Call(leased, queue, bucket).run(waited_s)


class Call:
    """From leased users to settled ones."""

    def __init__(self, leased: Leased, queue: WorkQueue, bucket: TokenBucket) -> None:
        self._leased = leased
        self._queue = queue
        self._bucket = bucket
        self._error: BitrixError | None = None

    def run(self, waited_s: float) -> int:
        """Send one request, write down what became of each user, reply."""
        originator = settings().originator_id
        plans = [(entry, plan(entry, originator)) for entry in self._leased.entries]
        commands = _commands(plans, originator)
        self._tell(plans, len(commands), waited_s)
        answers = self._send(commands)
        settlements = [self._settlement(entry, step, answers) for entry, step in plans]
        self._finish(settlements)
        if self._queue.count_due():
            driver.wake()
        if self._error is not None:
            raise self._error
        return len(settlements)

    def _send(self, commands: dict[str, Command]) -> dict[str, Answer]:
        if not commands:
            self._bucket.give_back()
            return {}
        try:
            return session().call(commands)
        except BitrixError as error:
            self._error = error
            self._react(error)
            return dict.fromkeys(commands, error)

    def _react(self, error: BitrixError) -> None:
        if isinstance(error, PortalDown):
            paused().begin(error)
        if isinstance(error, Refused):
            log.warning("refused", code=error.code)
            if error.code.upper() != METHOD_LIMIT:
                self._bucket.empty()

    def _settlement(self, entry: Entry, step: Plan, answers: dict[str, Answer]) -> Settlement:
        try:
            if isinstance(step, Write):
                agreed = leads.written(_result(answers, _key(entry)), _state(entry))
                return applied(entry, agreed, is_create=step.is_create)
            if isinstance(step, LookUp):
                return self._looked_up(entry, answers)
        except BitrixError as error:
            if self._error is None:
                self._react(error)
            return failed(entry, error, self._leased.now_ms)
        return applied(entry, None)

    def _looked_up(self, entry: Entry, answers: dict[str, Answer]) -> Settlement:
        now_ms = self._leased.now_ms
        by_origin: list[leads.Found] = []
        by_id: list[leads.Found] = []
        for key in answers:
            if key.startswith(_BY_ORIGIN):
                by_origin += leads.found(_result(answers, key))
            elif key.startswith(_BY_ID):
                by_id += leads.found(_result(answers, key))
        ours = [lead for lead in by_origin if lead.origin == str(entry.user_id)]
        if ours:
            if len(ours) > 1:
                log.error("leads doubled", user_id=entry.user_id, leads=len(ours))
            return looked_up(entry, ours[0], now_ms)
        named = next((lead for lead in by_id if lead.lead_id == entry.hint), None)
        if named and named.origin and named.originator == settings().originator_id:
            return conflicting(entry, named)
        return looked_up(entry, named, now_ms)

    def _finish(self, settlements: list[Settlement]) -> None:
        """Write down, reply, release: a crash after any of them loses and doubles nothing."""
        kept = self._queue.write_down(settlements)
        ours = [one for one, is_kept in zip(settlements, kept, strict=True) if is_kept]
        if len(ours) < len(settlements):
            log.warning("leases lost", users=len(settlements) - len(ours))
        answered = [(one.entry, event) for one in ours for event in one.events if event.answered]
        confirmed = {
            (entry.user_id, event.event_id)
            for (entry, event), is_sent in zip(answered, replies.send(answered), strict=True)
            if is_sent
        }
        self._queue.release([_released(one, confirmed) for one in ours])
        for one in ours:
            _tell_end(one)

    def _tell(self, plans: list[tuple[Entry, Plan]], commands: int, waited_s: float) -> None:
        for entry, step in plans:
            for event in entry.events:
                if event.answered is None:
                    log.info(
                        "Processing bitrix_job (attempt %d/%d)",
                        event.attempts + 1,
                        MAX_ATTEMPTS,
                        event_id=event.event_id,
                        user_id=entry.user_id,
                        action=event.action,
                        correlation_id=event.correlation_id,
                        step=type(step).__name__,
                    )
        if commands:
            log.info("calling Bitrix24", commands=commands, waited_ms=round(waited_s * 1000))


@cache
def session() -> Portal:
    """This process's portal, with its kept connection."""
    return portal()


@cache
def token_bucket() -> TokenBucket:
    """The portal's request rate."""
    return TokenBucket(
        client(),
        f"{work_queue().prefix}tokens",
        rate_per_s=settings().rate_per_s,
        burst=settings().burst,
    )


def paused() -> Pause:
    """The portal's pause."""
    return Pause(client(), work_queue().prefix)


_BY_ORIGIN = "origins"
_BY_ID = "ids"


def _key(entry: Entry) -> str:
    return f"u{entry.user_id}"


def _commands(plans: list[tuple[Entry, Plan]], originator: str) -> dict[str, Command]:
    """One command a user to write, few for all users to look up."""
    commands = {_key(entry): step.command for entry, step in plans if isinstance(step, Write)}
    doubtful = [entry for entry, step in plans if isinstance(step, LookUp)]
    for at in range(0, len(doubtful), leads.LOOK_UP_MAX):
        part = doubtful[at : at + leads.LOOK_UP_MAX]
        origins = [entry.user_id for entry in part]
        commands[f"{_BY_ORIGIN}{at}"] = leads.look_up(origins, originator)
        hints = [entry.hint for entry in part if entry.hint is not None]
        if hints:
            commands[f"{_BY_ID}{at}"] = leads.read(hints)
    return commands


def _result(answers: dict[str, Answer], key: str) -> Answer:
    answer = answers.get(key)
    if isinstance(answer, BitrixError):
        raise answer
    return answer


def _state(entry: Entry) -> leads.State:
    if entry.state is None:
        raise OutcomeUnknown("an entry without a state was written")
    return entry.state


def _released(one: Settlement, confirmed: set[tuple[int, str]]) -> Settlement:
    """Forget what was replied; what was not stays, to be replied later."""
    user_id = one.entry.user_id
    answered = [event for event in one.events if event.answered]
    sent = tuple(event for event in answered if (user_id, event.event_id) in confirmed)
    delay_ms = one.delay_ms if len(sent) == len(answered) else max(one.delay_ms, REPLY_DELAY_MS)
    return Settlement(one.entry, {}, sent, delay_ms)


def _tell_end(one: Settlement) -> None:
    for event in one.events:
        about = {
            "event_id": event.event_id,
            "user_id": one.entry.user_id,
            "correlation_id": event.correlation_id,
        }
        if event.answered is None:
            log.warning("retry in %d ms", one.delay_ms, attempts=event.attempts, **about)
        elif event.answered.outcome == "failed":
            log.error("failed", attempts=event.answered.attempts, **about)
        else:
            lead_id = event.answered.lead_id
            outcome = event.answered.outcome
            log.info("completed", outcome=outcome, bitrix_lead_id=lead_id, **about)
