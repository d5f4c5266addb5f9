"""`leadline restored`: Postgres was put back to an earlier time, and goes on from here."""

from datetime import UTC, datetime

from leadline.cli.output import Json, as_json, facts
from leadline.operations import audit
from leadline.runtime.postgres import installation
from leadline.runtime.redis import reachable
from leadline.sync.reconcile import our_leads
from leadline.sync.reconcile.originator import originator_id


def restored(*, json: Json = False) -> None:
    """Say that Postgres was put back to an earlier time, or takes over the leads of a portal.

    A new history begins: versions and ids that Postgres has lost count no more, and every user's
    lead is compared and made what the user is. New users get ids that no lead bears. Calls that
    were held because the portal has leads of unknown users are made again.

    A failover and a dump restored by pg_restore are noticed by themselves; this does no harm then.
    """
    with audit.recorded("restored") as done:
        history = installation.begin_history(lost=installation.ensure_history().history)
        done["history"] = history
        with reachable():
            greatest = max(our_leads.highest_user_ids(), default=0)
            installation.reserve_ids(greatest)
            installation.mark_portal_checked()
            was_held = our_leads.release_hold(originator_id())
    told = {
        "history_since": datetime.fromtimestamp(history / 1000, UTC),
        "greatest_id_on_a_lead": greatest,
        "calls_resumed": was_held,
    }
    as_json(told) if json else facts(told.items())
