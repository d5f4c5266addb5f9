"""A batch request carries the commands of many users."""

from collections import Counter

import pytest

from leadline.bitrix24 import leads
from leadline.bitrix24.command import Command
from leadline.sync import batch_request
from leadline.sync.batch_request import BatchRequest
from leadline.sync.decide import Lookup, NoCall, Write, plan
from leadline.workqueue.entries.pending_event import Outcome
from tests.unit.entries import entry, known_entry, pending

MOST = 50  # https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html


def test_a_batch_never_has_more_commands_than_bitrix24_accepts() -> None:
    """Found by the laboratory: two commands to look up one user, next to 49 users to write."""
    entries = [entry(pending(), user_id=number) for number in range(1, MOST)]
    unknown = entry(pending(), user_id=MOST, claimed_lead_id=55)
    request = batch_request.build([*entries, unknown], plan)
    assert len(request.commands) == MOST
    served = Counter(request.covers(step) for step in request.steps)
    assert served == {True: MOST - 1, False: 1}
    assert request.covers(request.steps[-1])


def test_each_step_has_its_own_command_and_lookups_share_theirs() -> None:
    fresh = entry(pending(), user_id=1)
    unknown = [entry(pending(), user_id=number, needs_lookup=True) for number in (2, 3)]
    hinted = entry(pending(), user_id=4, claimed_lead_id=55)
    settled_entry = known_entry(pending(), user_id=5)
    request = batch_request.build([fresh, *unknown, hinted, settled_entry], plan)
    kinds = [type(step.plan) for step in request.steps]
    assert kinds == [Write, Lookup, Lookup, Lookup, NoCall]
    assert [step.entry.user_id for step in request.steps] == [1, 2, 3, 4, 5]
    requested = [[request.commands[key] for key in step.keys] for step in request.steps]
    look_up, read = leads.list_by_origins([2, 3, 4], "leadline"), leads.list_by_ids([55])
    assert requested[1] == requested[2] == requested[3] == [look_up, read]
    assert [command.method for command in requested[0]] == ["crm.item.add"]
    assert requested[4] == []
    assert request.methods == {"crm.item.add": 1, "crm.lead.list": 2}
    assert all(request.covers(step) for step in request.steps)


def test_the_known_lead_of_a_user_is_read_with_the_lookup() -> None:
    doubted = known_entry(pending(version=2), needs_lookup=True)
    request = batch_request.build([doubted], plan)
    assert list(request.commands.values()) == [
        leads.list_by_origins([7], "leadline"),
        leads.list_by_ids([55]),
    ]


def test_users_of_two_installations_do_not_share_a_lookup() -> None:
    ours = [entry(pending(), user_id=user_id, needs_lookup=True) for user_id in (1, 3)]
    theirs = entry(pending(), user_id=2, needs_lookup=True, originator="staging")
    request = batch_request.build([ours[0], theirs, ours[1]], plan)
    requested = [[request.commands[key] for key in step.keys] for step in request.steps]
    first, other = leads.list_by_origins([1, 3], "leadline"), leads.list_by_origins([2], "staging")
    assert requested == [[first], [other], [first]]


@pytest.mark.parametrize("needs_lookup", [True, False])
def test_an_isolated_user_has_a_request_of_its_own(*, needs_lookup: bool) -> None:
    others = [
        entry(pending(), user_id=1, needs_lookup=True),
        *(entry(pending(), user_id=user_id) for user_id in range(3, 60)),
    ]
    alone = entry(pending(), user_id=2, needs_lookup=needs_lookup, needs_own_request=True)
    request = batch_request.build([*others, alone], plan)
    assert batch_request.build([alone], plan).commands == request.commands
    assert [step.entry for step in request.steps if request.covers(step)] == [alone]


def test_a_user_that_needs_only_a_reply_waits_for_no_request() -> None:
    settled_entry = entry(
        pending(outcome=Outcome("failed", attempts=1)), user_id=2, needs_own_request=True
    )
    request = batch_request.build([entry(pending(), user_id=1), settled_entry], plan)
    assert all(request.covers(step) for step in request.steps)


def test_lookups_are_split_to_fit_a_page_even_if_some_users_have_two_leads() -> None:
    numbers = list(range(1, 41))
    unknown = [
        entry(pending(), user_id=number, needs_lookup=True, claimed_lead_id=100 + number)
        for number in numbers
    ]
    request = batch_request.build(unknown, plan)
    requested = [[request.commands[key] for key in step.keys] for step in request.steps]
    for part in (numbers[:25], numbers[25:]):
        ids = [100 + number for number in part]
        expected = [leads.list_by_origins(part, "leadline"), leads.list_by_ids(ids)]
        assert all(requested[number - 1] == expected for number in part)
    assert len(request.commands) == 4


def test_lookups_come_first_so_that_none_of_them_is_cut_off() -> None:
    entries = [entry(pending(), user_id=number) for number in range(1, MOST + 1)]
    unknown = entry(pending(), user_id=99, needs_lookup=True)
    request = batch_request.build([*entries, unknown], plan)
    assert next(iter(request.commands.values())).method == "crm.lead.list"
    assert [request.covers(step) for step in request.steps].count(False) == 1


def test_no_key_of_a_batch_is_a_number() -> None:
    """With numbers as keys, Bitrix24 would answer with a list."""
    unknown = entry(pending(), user_id=8, claimed_lead_id=55)
    request = batch_request.build([entry(pending()), unknown], plan)
    assert not [key for key in request.commands if key.isdigit()]


def test_the_first_commands_of_each_method_are_sent_up_to_the_allowed_number() -> None:
    commands = {
        "a": Command("add", {"n": 1}),
        "b": Command("update", {}),
        "c": Command("add", {"n": 2}),
        "d": Command("add", {"n": 3}),
        "e": Command("list", {}),
    }
    request = BatchRequest([], commands)
    assert list(request.limited_to({"add": 2, "update": 0, "list": 5}).commands) == ["a", "c", "e"]
    assert request.limited_to({}).commands == {}
    assert request.limited_to(request.methods).commands == commands


def test_a_step_is_sent_only_with_all_its_commands() -> None:
    request = batch_request.build([entry(pending(), claimed_lead_id=55)], plan)
    (step,) = request.steps
    assert request.covers(step)
    assert not request.limited_to({"crm.lead.list": 1}).covers(step)
    assert request.limited_to({"crm.lead.list": 1}).steps == [step]
