"""Compares the portal's leads of our originator with the users of this database."""

import time
from collections.abc import Iterator
from functools import partial

import structlog

from leadline.bitrix24 import lead_parsing, leads
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.errors import BitrixError, QueueError
from leadline.sync import portal_session
from leadline.sync.reconcile import scan, throttled_reads
from leadline.users import snapshots

log = structlog.get_logger()

#: Reason of the hold.
UNKNOWN = (
    "the portal has leads of the origin {originator} whose users this database does not have."
    " Was Postgres restored, or lost? Then run `leadline restored`. Is this another installation?"
    " Then give it its own LEADLINE_ORIGINATOR_ID"
)

#: A higher user id on a lead counts as an error: the ids after it would soon be used up.
HIGHEST_ID = 2**62


def hold_if_unknown(originator: str) -> bool | None:
    """Read the first page of our leads, and hold all calls if one belongs to no user.

    Returns whether it has placed a hold; None if the portal is paused or can't be read now.
    """
    try:
        if portal_session.circuit_breaker().restore_and_read() is not None:
            return None
        time.sleep(portal_session.token_bucket().reserve())
        first_page = {"ours": leads.list_after("0", originator)}
        result = portal_session.portal_client().call(first_page).results["ours"]
        if isinstance(result, BitrixError):
            raise result
        unknown = unknown_origins(lead_parsing.parse_leads(result))
        if unknown:
            log.error("leads of our origin without a user", leads=len(unknown))
            portal_session.circuit_breaker().hold(UNKNOWN.format(originator=originator))
    except (BitrixError, QueueError) as error:
        log.warning("leads of our origin not read", reason=type(error).__name__)
        return None
    return bool(unknown)


def unknown_origins(page: list[FoundLead]) -> list[int]:
    """The user ids on these leads that don't exist; leaves out origins that are not user ids."""
    claimed = sorted({int(lead.origin) for lead in page if scan.is_user_id(lead.origin)})
    existing = snapshots.by_ids(claimed)
    return [user_id for user_id in claimed if user_id not in existing]


def highest_user_ids() -> Iterator[int]:
    """The highest user id on each page of our leads; also reads during a manual hold.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached.
    """
    after = 0
    read_leads = partial(throttled_reads.read_all, ignore_hold=True)
    while page := scan.fetch_next_pages(after, read_leads):
        after = page[-1].lead_id
        ids = [int(lead.origin) for lead in page if scan.is_user_id(lead.origin)]
        yield max((user_id for user_id in ids if user_id <= HIGHEST_ID), default=0)


def end_hold(originator: str) -> bool:
    """End a hold that `hold_if_unknown` has placed; False if there is none."""
    outage = portal_session.circuit_breaker().restore_and_read()
    if (
        outage is None
        or not outage.is_manual_hold
        or outage.reason != UNKNOWN.format(originator=originator)
    ):
        return False
    return portal_session.circuit_breaker().resume()
