"""Makes a plan: reads all leads, then all users, in resumable steps; only reads from the portal."""

from collections.abc import Iterator, Sequence
from functools import partial

from leadline.bitrix24 import duplicates, leads
from leadline.bitrix24.lead_parsing import FoundLead
from leadline.operations.first_match import comparison, match_keys, plans
from leadline.operations.first_match.comparison import Candidates
from leadline.operations.first_match.lines import Line
from leadline.operations.first_match.plans import Plan, Progress
from leadline.sync.duplicates.commands import finds_contacts
from leadline.sync.reconcile import scan, throttled_reads
from leadline.sync.reconcile.originator import originator_id
from leadline.users import snapshots
from leadline.users.snapshots import UserSnapshot

_read_all = partial(throttled_reads.read_all, ignore_hold=True)


def steps(plan: Plan) -> Iterator[Plan]:
    """Carry out the remaining steps; yields the plan after each.

    Also reads during a manual hold, so that users can be imported and compared before any call.

    Raises:
        BitrixError: as `throttled_reads.read_all`.
        InvalidRequest: another run continues this plan.
        DatabaseDown, QueueDown: Postgres or Redis can't be reached.
    """
    while not plan.is_ready:
        if plan.reading == "leads":
            progress = _read_leads(plan.position)
        elif plan.reading == "contacts":
            progress = _read_contacts(plan.position)
        else:
            progress = _compare_users(plan)
        plan = plans.store(plan, progress)
        yield plan


def _read_leads(after: int) -> Progress:
    page = scan.fetch_next_pages(after, _read_all, leads.list_all_after)
    if not page:
        return Progress("contacts" if finds_contacts() else "users", position=0)
    last = page[-1].lead_id
    free = [lead for lead in page if lead.is_free]
    return Progress(
        "leads", last, leads=len(page), lines=_lines_without_user(page), keys=_keys(free)
    )


def _lines_without_user(page: Sequence[FoundLead]) -> list[Line]:
    """A line for each of our leads whose user this database does not have."""
    originator = originator_id()
    own_leads = [lead for lead in page if lead.originator == originator]
    claimed = {int(lead.origin) for lead in own_leads if scan.is_user_id(lead.origin)}
    existing = snapshots.by_ids(sorted(claimed))
    return [
        Line("foreign", None, lead_ids=(lead.lead_id,))
        for lead in own_leads
        if not scan.is_user_id(lead.origin) or int(lead.origin) not in existing
    ]


def _read_contacts(after: int) -> Progress:
    page = scan.fetch_next_pages(after, _read_all, duplicates.list_contacts_after)
    if not page:
        return Progress("users", position=0)
    last = page[-1].lead_id
    return Progress("contacts", last, contacts=len(page), keys=_keys(page), entity="contact")


def _keys(entities: Sequence[FoundLead]) -> list[tuple[int, int]]:
    return [(key, entity.lead_id) for entity in entities for key in match_keys.of_entity(entity)]


def _compare_users(plan: Plan) -> Progress:
    users = snapshots.after(plan.position, scan.USERS_PER_CALL)
    if not users:
        return Progress("done", position=0)

    def find(users: Sequence[UserSnapshot]) -> Candidates:
        keys = {key for user in users for key in match_keys.of_user(user)}
        return Candidates(*plans.entities_with_keys(plan, keys))

    lines_by_user = comparison.lines_of(users, find)
    lines = [line for line in lines_by_user.values() if line is not None]
    return Progress("users", users[-1].id, linked=len(lines_by_user) - len(lines), lines=lines)
