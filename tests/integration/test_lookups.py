"""Users are found by phone, name, external id, lead and the time of their last change.

The last part is about the list of stages, which the same function serves.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pg8000.native
import pytest

from leadline.ledger import retention, settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.ledger.upsert import write as upsert_write
from leadline.ledger.upsert.outcome import Item
from leadline.messages.contract import Reply
from leadline.runtime.postgres.dsn import servers
from leadline.users import filters, search_index, stages
from leadline.users.model import Changes, Move, NewUser
from tests.integration.conftest import execute, function_client, rows

pytestmark = pytest.mark.usefixtures("in_postgres", "auth_off")


@pytest.fixture
def auth_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_AUTH", "off")


def create(name: str = "Ann", phone: str = "+77001112233") -> Event:
    return write.create(NewUser(full_name=name, phone=phone), key=None).event


def list_ids(**query: Any) -> list[int]:
    """The ids on all pages, two users each."""
    client = function_client("list_users")
    ids: list[int] = []
    after: str | None = "0"
    while after is not None:
        answer = client.get("/users", query_string={"limit": 2, "after": after, **query})
        assert answer.status_code == 200, answer.text
        page = answer.get_json()
        ids += [user["id"] for user in page["items"]]
        after = page["next"]
    return ids


def query_errors(query: str) -> list[dict[str, str]]:
    answer = function_client("list_users").get(f"/users?{query}")
    assert answer.status_code == 422
    errors: list[dict[str, str]] = answer.get_json()["errors"]
    return errors


def settle_synced(event: Event, lead_id: int) -> None:
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    reply = Reply(**fields, status="success", bitrix_lead_id=lead_id)
    settle.apply([ReceivedReply(reply)])


def updated_at(event: Event) -> datetime:
    (row,) = rows("SELECT updated_at FROM users WHERE id = :id", id=event.user.id)
    moment: datetime = row["updated_at"]
    return moment


@pytest.mark.parametrize(
    "phone",
    [
        "+77001112233",
        "+7 (700) 111-22-33",
        "77001112233",
        "7 700 111 22 33",
        "0077001112233",
        " 77001112233",  # `+` not percent-encoded
    ],
)
def test_a_phone_is_found_in_any_notation(phone: str) -> None:
    first, _, third, fourth = create(), create(phone="+77001112234"), create(), create()
    assert list_ids(phone=phone) == [event.user.id for event in (first, third, fourth)]


def test_a_national_number_is_found_where_a_region_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_PHONE_REGION", "KZ")
    user = create().user.id
    for phone in ("8 700 111 22 33", "700 111 22 33", "77001112233", "+77001112233"):
        assert list_ids(phone=phone) == [user], phone
    german = create(phone="+4930901820").user.id
    assert list_ids(phone="4930901820") == [german]


@pytest.mark.parametrize("phone", ["abc", "", "1", "+7", "%00"])
def test_a_text_that_cannot_be_a_phone_is_422(phone: str) -> None:
    assert [error["field"] for error in query_errors(f"phone={phone}")] == ["phone"]


def test_users_are_found_by_external_id_and_by_lead() -> None:
    create()
    item = Item("Bo", "+77001112233", external_id="Ключ 7+8")
    event = upsert_write.upsert({0: item}, key=None)[0].event
    assert event
    settle_synced(event, 4711)
    user = event.user.id
    assert list_ids(external_id="Ключ 7+8") == [user]
    assert list_ids(external_id="ключ 7+8") == []
    assert list_ids(bitrix_lead_id=4711) == [user]
    assert list_ids(bitrix_lead_id=4712) == []
    assert list_ids(external_id="Ключ 7+8", bitrix_lead_id=4711, sync="synced", name="b") == [user]
    assert list_ids(external_id="Ключ 7+8", sync="failed") == []


def test_users_are_found_by_the_beginning_of_their_name() -> None:
    users = [create(name).user.id for name in ("Иван Иванов", "иванна", "Пётр", "Ива%")]
    for is_indexed in (False, True):
        assert list_ids(name="ИВАН") == users[:2], is_indexed
        assert list_ids(name="ива%") == [users[3]], is_indexed
        assert list_ids(name="ванна") == [], is_indexed
        assert list_ids(name="петр") == [users[2]], is_indexed
        search_index.catch_up(until=time.monotonic() + 60)
    assert list_ids(name="4711") == []


@pytest.mark.parametrize("common", [1, filters.COMMON], ids=["common names", "rare names"])
def test_common_names_and_recent_users_are_found_on_all_pages(
    common: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "COMMON", common)  # a name of so many users is common
    monkeypatch.setattr(filters, "SCAN_IDS", 2)  # so that a page takes several scans
    users = [create(name).user.id for name in ("Ann", "Bo", "Bo", "Ann", "Bo", "Ann", "Anna")]
    search_index.catch_up(until=time.monotonic() + 60)
    create("Ann Lee")
    recent = users[-1] + 1  # not indexed yet
    anns = [users[n] for n in (0, 3, 5, 6)]
    assert list_ids(name="ann") == [*anns, recent]
    assert list_ids(name="ann", updated_since="2026-01-01T00:00:00Z") == [*anns, recent]
    assert list_ids(updated_since="2026-01-01T00:00:00Z") == [*users, recent]


def test_users_written_since_a_moment_are_found() -> None:
    first, second, third = create(), create(), create()
    moment = updated_at(second)
    assert list_ids(updated_since=moment.isoformat()) == [second.user.id, third.user.id]
    write.change(first.user.id, Move(stage="JUNK"), expected_version=None, key=None)
    assert list_ids(updated_since=moment.isoformat()) == [
        accepted.user.id for accepted in (first, second, third)
    ]
    after = (updated_at(first) + timedelta(microseconds=1)).isoformat()
    assert list_ids(updated_since=after) == []
    assert list_ids(updated_since=moment.isoformat(), stage="JUNK") == [first.user.id]


def test_an_outcome_is_no_change_of_the_user() -> None:
    event = create()
    moment = (updated_at(event) + timedelta(microseconds=1)).isoformat()
    settle_synced(event, 1)
    assert list_ids(updated_since=moment) == []


def test_users_are_found_though_the_ledger_no_longer_keeps_their_events() -> None:
    event = create()
    settle_synced(event, 1)
    execute("UPDATE users SET updated_at = now() - interval '31 days'")
    execute("UPDATE events SET settled_at = now() - interval '31 days'")
    retention.run(until=time.monotonic() + 10)
    assert rows("SELECT FROM events") == []
    now = datetime.now(UTC)
    assert list_ids(updated_since=(now - timedelta(days=32)).isoformat()) == [event.user.id]
    assert list_ids(updated_since=(now - timedelta(days=30)).isoformat()) == []


@pytest.mark.parametrize(
    "moment",
    ["2026-01-31T12:00:00Z", "2026-01-31T15:00:00%2B03:00", "2026-01-31T15:00:00+03:00"],
)
def test_a_moment_may_have_any_time_zone(moment: str) -> None:
    event = create()
    client = function_client("list_users")
    for at, expected in (("11:59:59", 0), ("12:00:00", 1)):
        execute("UPDATE users SET updated_at = CAST(:at AS timestamptz)", at=f"2026-01-31T{at}Z")
        items = client.get(f"/users?updated_since={moment}").get_json()["items"]
        assert [user["id"] for user in items] == [event.user.id] * expected


@pytest.mark.parametrize("moment", ["", "x", "2026-01-31", "2026-01-31T12:00:00", "2026-13-01T0Z"])
def test_a_time_without_a_time_zone_is_422(moment: str) -> None:
    (error,) = query_errors(f"updated_since={moment}")
    assert error["field"] == "updated_since"
    assert "2026-01-31T12:00:00Z" in error["message"]


@pytest.mark.parametrize(
    ("moment", "found"), [("0001-01-01T00:00:00%2B14:00", 1), ("9999-12-31T23:59:59-14:00", 0)]
)
def test_any_time_with_a_time_zone_is_accepted(moment: str, found: int) -> None:
    create()
    answer = function_client("list_users").get(f"/users?updated_since={moment}")
    assert answer.status_code == 200
    assert len(answer.get_json()["items"]) == found


@pytest.mark.parametrize(
    "query",
    [
        "external_id=",
        "external_id=%20a",
        "bitrix_lead_id=0",
        "bitrix_lead_id=x",
        "name=",
        "name=%00",
    ],
)
def test_an_impossible_value_is_422(query: str) -> None:
    assert [error["field"] for error in query_errors(query)] == [query.partition("=")[0]]


def test_a_user_shows_when_it_was_created_and_changed() -> None:
    event = create()
    changed = write.change(
        event.user.id, Changes(full_name="Bo"), expected_version=None, key=None
    ).event
    settle_synced(changed, 1)
    user = function_client("get_user").get(f"/users/{event.user.id}").get_json()
    (listed,) = function_client("list_users").get("/users").get_json()["items"]
    times = {"created_at": user["created_at"], "updated_at": user["updated_at"]}
    assert {name: listed[name] for name in times} == times
    assert {name: datetime.fromisoformat(text) for name, text in times.items()} == rows(
        "SELECT created_at, updated_at FROM users"
    )[0]
    assert times["created_at"] < times["updated_at"]
    assert all(text.endswith("Z") for text in times.values())
    assert user["external_id"] is None
    assert listed["external_id"] is None


#: Lookups and how many users they find. The last one is a range, and is only tested after ANALYZE:
#: without statistics Postgres assumes that a range has a third of all users, and reads them by id.
_LOOKUPS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"external_id": "crm-7"}, 1),
    ({"phone": "+77000000007"}, 1),
    ({"bitrix_lead_id": 7}, 1),
    ({"name": "ann 7777"}, 1),
    ({"updated_since": "2026-01-31T12:00:00Z"}, 0),
)


@pytest.mark.parametrize("is_analyzed", [False, True])
def test_a_lookup_reads_few_rows(
    postgres: str, monkeypatch: pytest.MonkeyPatch, *, is_analyzed: bool
) -> None:
    execute(
        "INSERT INTO users (full_name, phone, stage, external_id, bitrix_lead_id)"
        " SELECT 'Ann ' || n, '+7' || (7000000000 + n), 'NEW', 'crm-' || n, n"
        " FROM generate_series(1, 20000) AS n"
    )
    # Event ids begin with their time (UUIDv7): 00… is long before the moment that is looked up.
    execute(
        "INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,"
        " correlation_id, traceparent, due_at)"
        " SELECT CAST('00' || substr(CAST(gen_random_uuid() AS text), 3) AS uuid), id, 1,"
        " 'create_card', full_name, phone, stage, 'phone', 'c', 't', now() FROM users"
    )
    search_index.catch_up(until=time.monotonic() + 60)
    if is_analyzed:
        with pg8000.native.Connection(**servers(postgres).options[0]) as owner:
            owner.run("ANALYZE")
    monkeypatch.setattr(filters, "time", _Clock())
    for query, found in _LOOKUPS if is_analyzed else _LOOKUPS[:-1]:
        execute("BEGIN")  # the statements that follow use the same connection
        before = _rows_read()
        assert len(list_ids(**query)) == found, query
        after = _rows_read()
        execute("ROLLBACK")
        assert after - before < 50, query


def _rows_read() -> int:
    """How many rows this transaction has read from the tables of lookups."""
    (read,) = rows(
        "SELECT CAST(sum(seq_tup_read + idx_tup_fetch) AS bigint) AS rows"
        " FROM pg_stat_xact_user_tables WHERE relname IN ('users', 'events', 'user_terms')"
    )
    return int(read["rows"])


class _Clock:
    """A clock just after the moment looked up, whose events the ledger then still keeps."""

    def time(self) -> float:
        return datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC).timestamp()


# Stages


def test_the_stages_are_listed_in_the_portals_order_with_their_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stages, "CACHE_S", 0.0)
    client = function_client("list_users")
    answer = client.get("/stages")
    defaults = ["NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK"]
    assert answer.get_json() == {"items": [{"id": default, "name": None} for default in defaults]}
    stages.replace([stages.Stage("UC_1", "Новая"), stages.Stage("NEW")])
    listed = client.get("/function/list-users/stages")
    assert listed.get_json() == {
        "items": [{"id": "UC_1", "name": "Новая"}, {"id": "NEW", "name": None}]
    }


def test_an_unchanged_list_of_stages_is_not_sent_again() -> None:
    client = function_client("list_users")
    first = client.get("/stages")
    assert first.headers["Cache-Control"] == "private, max-age=60"
    repeat = client.get("/stages", headers={"If-None-Match": first.headers["ETag"]})
    assert (repeat.status_code, repeat.data) == (304, b"")
    assert repeat.headers["ETag"] == first.headers["ETag"]
    other = client.get("/stages", headers={"If-None-Match": '"0"'})
    assert (other.status_code, other.data) == (200, first.data)
