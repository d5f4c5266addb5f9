"""Users as clients read them: one with its last events, many by pages."""

import asyncio
from functools import partial

import pytest

from leadline.errors import InvalidRequest, UserNotFound
from leadline.ledger import accept, write
from leadline.runtime.concurrency import greenlets
from leadline.users import queries, stages
from leadline.users.model import Move, NewUser, UserId
from leadline.users.views import Query, UserDetails
from tests.integration.conftest import execute, rows

pytestmark = pytest.mark.usefixtures("in_postgres")


def create(stage: str = "NEW") -> UserId:
    return write.create(
        NewUser(full_name="Ann", phone="+77001112233", stage=stage), None
    ).event.user.id


def page_ids(query: Query) -> list[int]:
    return [user["id"] for user in queries.page(query)["items"]]


def test_a_user_is_shown_with_its_last_ten_events_newest_first() -> None:
    user = create()
    for _ in range(11):
        write.change(user, Move(stage="JUNK"), expected_version=None, key=None)
    events = queries.get(user)["sync"]["events"]
    assert [event["version"] for event in events] == list(range(12, 2, -1))
    assert events[0]["action"] == "move_card"
    assert events[0]["state"] == "open"


def test_a_user_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(UserNotFound):
        queries.get(UserId(2**63 - 1))


def test_concurrent_reads_each_get_their_own_user_as_it_is_now() -> None:
    """Reads of different, identical and unknown users share queries."""
    users = [create(stage) for stage in ("NEW", "JUNK", "IN_PROCESS")]
    unknown = UserId(2**63 - 1)
    requested_ids = [users[0], users[1], unknown, users[2], users[1], *users]

    async def read_all() -> list[UserDetails | BaseException]:
        return await asyncio.gather(
            *(greenlets.spawn(partial(queries.get, user_id)) for user_id in requested_ids),
            return_exceptions=True,
        )

    for stage in ("CONVERTED", "PROCESSED"):
        for user in users:
            write.change(user, Move(stage=stage), expected_version=None, key=None)
        for user, found in zip(requested_ids, asyncio.run(read_all()), strict=True):
            if user == unknown:
                assert isinstance(found, UserNotFound)
            else:
                assert not isinstance(found, BaseException)
                assert (found["id"], found["stage"]) == (user, stage)
                assert found["sync"]["events"][0]["version"] == found["sync"]["version"]


def test_pages_show_each_user_once_even_if_users_are_added() -> None:
    ids = [create() for _ in range(7)]
    first = queries.page(Query(limit=3))
    create()
    second = queries.page(Query(limit=3, after=int(first["next"] or 0)))
    third = queries.page(Query(limit=3, after=int(second["next"] or 0)))
    ids_on_pages = [user["id"] for page in (first, second, third) for user in page["items"]]
    assert ids_on_pages[:7] == ids
    assert third["next"] is None


def test_the_last_page_has_no_next_even_if_it_is_full() -> None:
    for _ in range(3):
        create()
    assert queries.page(Query(limit=3))["next"] is None


def test_a_page_has_as_many_users_as_its_limit_says() -> None:
    ids = [create() for _ in range(9)]
    for limit in range(1, 12):
        page = queries.page(Query(limit=limit))
        assert [user["id"] for user in page["items"]] == ids[:limit]
        assert page["next"] == (str(ids[limit - 1]) if limit < len(ids) else None)


def test_postgres_does_not_plan_the_same_page_again() -> None:
    """Planning takes as long as reading the page; Postgres makes five plans, then a generic one."""
    create()
    for after in range(20):
        queries.page(Query(limit=50, after=after))
    # This process has one connection.
    planned = rows("""
        SELECT generic_plans, custom_plans FROM pg_prepared_statements
        WHERE statement LIKE '%json_build_array%' AND generic_plans + custom_plans >= 20
    """)
    assert planned == [{"generic_plans": 15, "custom_plans": 5}]


def test_users_are_listed_by_stage_and_sync_status() -> None:
    new, junk = create(), create("JUNK")
    execute("UPDATE users SET sync_status = 'failed', sync_reason = 'no' WHERE id = :id", id=junk)
    assert page_ids(Query(stage="JUNK")) == [junk]
    assert page_ids(Query(sync="failed")) == [junk]
    assert page_ids(Query(sync="waiting")) == [new]
    assert page_ids(Query(stage="NEW", sync="failed")) == []
    assert page_ids(Query(sync="synced")) == []


def test_a_portals_own_stages_replace_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "CACHE_S", 0.0)
    assert stages.allowed() == ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")
    stages.replace([stages.Stage("NEW"), stages.Stage("UC_1"), stages.Stage("JUNK")])
    stages.replace([stages.Stage("UC_1"), stages.Stage("NEW")])
    assert stages.allowed() == ("UC_1", "NEW")
    with pytest.raises(InvalidRequest) as caught:
        accept.create(NewUser(full_name="Ann", phone="+77001112233", stage="JUNK"), key=None)
    assert "UC_1, NEW" in caught.value.fields[0]["message"]
    assert rows("SELECT id FROM users") == []
