"""Actions of an operator in the console; the scope is `operate`, and each action is audited."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flask import Request

from leadline.api.console.bodies import Choice, DeadLetterIds, Empty, NewJob, Reason
from leadline.api.paths import parse_id
from leadline.runtime.http.endpoint import parse

if TYPE_CHECKING:
    from leadline.users.views import UserSummary

#: Maximum number of ids of users, and of dead letters, that are stored with an action.
AUDITED_USERS_MAX = 100
AUDITED_LETTERS_MAX = 200
#: Maximum number of users in an export, and of users read at a time.
EXPORT_MAX = 5000
EXPORT_PAGE = 200
#: What the audit trail calls the start of each kind of job. Names in the trail stay as they were
#: first stored: there a resync is "send again", and the number of users or letters is "asked".
JOB_ACTIONS = {
    "resync": "send failed again",
    "replay": "replay dead letters",
    "discard": "discard dead letters",
}


def resync(request: Request, digits: str) -> object:
    """Resync one user: the page's *Retry*."""
    from leadline.operations.resync_users import resync_users  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    user_id = parse_id(digits)
    with _audited("send again", user_ids=[user_id]) as record:
        requested, waiting, missing = resync_users([user_id])
        record["asked"] = requested
    return {"asked_again": requested, "waiting_already": waiting, "not_found": missing}


def sent_calls(request: Request, digits: str) -> object:
    """The calls for a user's last events, with their answers: personal data, so it is audited."""
    from leadline.operations import timeline  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.users.model import UserId  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    user_id = parse_id(digits)
    with _audited("read what was sent", user_ids=[user_id]) as record:
        events = timeline.last_calls(UserId(user_id))
        record["events"] = len(events)
    return {"events": events}


def export(request: Request) -> object:
    """The users that match a search, for a file; `is_all` is false if there are more."""
    from leadline.users import search  # noqa: PLC0415 - cold start: only this call needs it

    query = parse(search.Search, request).model_copy(update={"limit": EXPORT_PAGE})
    users: list[UserSummary] = []
    after: str | None = "0"
    filters = {"sync": query.sync, "stage": query.stage, "is_search": bool(query.find)}
    with _audited("export users", **filters) as record:
        while after is not None and len(users) < EXPORT_MAX:
            page = search.page(query.model_copy(update={"after": int(after)}))
            users += page["items"]
            after = page["next"]
        record["users"] = len(users)
    return {"items": users, "is_all": after is None}


def choose(request: Request, digits: str) -> object:
    """Link a held user to a lead, or have one created."""
    from leadline.operations.first_match import decisions  # noqa: PLC0415 - cold start: only this call needs it

    lead_id = parse(Choice, request).lead_id
    user_id = parse_id(digits)
    action = "create lead of held user" if lead_id is None else "link held user"
    details = {} if lead_id is None else {"lead": lead_id}
    with _audited(action, user_ids=[user_id], **details):
        if lead_id is None:
            decisions.create(user_id)
        else:
            decisions.link(user_id, lead_id)
    return {"user_id": user_id, "lead_id": lead_id}


def begin_job(request: Request) -> object:
    """Begin a bulk job; the status lists it with its progress."""
    from leadline.operations.bulk import jobs  # noqa: PLC0415 - cold start: only this call needs it

    job = parse(NewJob, request)
    selection = job.selection()
    is_all = selection == jobs.Selection()
    action = "send all failed again" if is_all and job.kind == "resync" else JOB_ACTIONS[job.kind]
    details = {"user_ids": job.user_ids[:AUDITED_USERS_MAX]} if job.user_ids else {}
    with _audited(action, **details) as record:
        begun = jobs.begin(job.kind, selection)
        record["job"], record["asked"] = begun["id"], begun["total"]
    return begun


def cancel_job(request: Request, job_id: str) -> object:
    """Cancel a bulk job; what is done stays done."""
    from leadline.operations.bulk import jobs  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    with _audited("cancel job", job=job_id) as record:
        cancelled = jobs.cancel(job_id)
        record["done"] = cancelled["done"]
    return cancelled


def pause(request: Request) -> object:
    """Pause calls to Bitrix24 until an operator resumes them; calls in flight are finished."""
    from leadline.operations import manual_hold  # noqa: PLC0415 - cold start: only this call needs it

    reason = parse(Reason, request).reason.strip()
    with _audited("pause calls", reason=reason):
        manual_hold.hold(reason)
    return {"paused": True}


def resume(request: Request) -> object:
    """Resume calls, whatever paused them."""
    from leadline.operations import manual_hold  # noqa: PLC0415 - cold start: only this call needs it

    parse(Empty, request)
    with _audited("resume calls") as record:
        was_paused = manual_hold.resume()
        record["was_paused"] = was_paused
    return {"paused": False, "was_paused": was_paused}


def decide_dead_letters(request: Request, action: str) -> object:
    """Replay or discard the named dead letters now, without a bulk job."""
    from leadline.connector.dead_letters import Decision  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.operations.dead_letters import Selection, apply  # noqa: PLC0415 - cold start: only this call needs it

    ids = parse(DeadLetterIds, request).ids
    with _audited(f"{action} dead letters", letters=ids[:AUDITED_LETTERS_MAX]) as record:
        number, missing = apply(Selection(frozenset(ids)), Decision(action))
        record["done"] = number
    return {"done": number, "not_found": missing}


@contextmanager
def _audited(action: str, **details: object) -> Iterator[dict[str, object]]:
    """Record an action in the audit trail, and show its effect in the dashboard at once."""
    from leadline.operations import audit  # noqa: PLC0415 - cold start: only this call needs it
    from leadline.operations.dashboard import dashboard  # noqa: PLC0415 - cold start: only this call needs it

    with audit.recorded(action, **details) as record:
        yield record
    dashboard().invalidate()
