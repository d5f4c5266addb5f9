"""`leadline restored`: begin a new history after Postgres was restored to an earlier time."""

from datetime import UTC, datetime
from typing import Any

from leadline.cli.output import Json, print_facts, print_json
from leadline.cli.terminal.confirm import Yes, confirm
from leadline.operations import audit
from leadline.runtime.postgres import installation
from leadline.sync.reconcile import our_leads
from leadline.sync.reconcile.originator import originator_id


def restored(*, yes: Yes = False, json: Json = False) -> None:
    """Declare that Postgres was restored.

    It went back to an earlier time, or adopts a portal's leads. A new history begins: versions
    and ids that Postgres has lost no longer count, and every lead is compared with its user and
    corrected. New users get ids that no lead carries. If calls were held because the portal has
    leads of unknown users, they resume. It asks first.

    A failover, and a dump restored by pg_restore, are detected without it; it does no harm then.

    Examples:
        leadline restored
        leadline restored --yes --json
    """
    confirm("Begin a new history and compare every lead with its user?", yes=yes)
    report = begin_history()
    print_json(report) if json else print_facts(report.items())


def begin_history() -> dict[str, Any]:
    """Carry out `restored`; returns its report.

    Raises:
        LeadlineError: a server or the portal can't be reached; safe to repeat.
    """
    with audit.recorded("restored") as record:
        history = installation.begin_history(lost=installation.ensure_history().history)
        record["history"] = history
        greatest = max(our_leads.highest_user_ids(), default=0)
        installation.reserve_ids(greatest)
        installation.mark_portal_checked()
        was_held = our_leads.end_hold(originator_id())
    return {
        "history_since": datetime.fromtimestamp(history / 1000, UTC),
        "greatest_id_on_a_lead": greatest,
        "calls_resumed": was_held,
    }
