"""Searches find users by their current values, however recently written or indexed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pg8000.native
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from leadline.errors import BrokerDown
from leadline.ledger import relay, settle, write
from leadline.ledger.event import Event
from leadline.ledger.settle import ReceivedReply
from leadline.messages.contract import Reply
from leadline.operations.diagnosis import failed_users
from leadline.operations.diagnosis.failed_users import FailedFilter
from leadline.runtime.postgres.dsn import servers
from leadline.users import newest_first, search, search_index
from leadline.users.model import Changes, Move, NewUser
from leadline.users.search import Search
from tests.integration.conftest import execute, in_threads, rows

pytestmark = pytest.mark.usefixtures("in_postgres")

PHONE = "+77001112233"
OTHER_PHONE = "+4930901820"
PHONES = (PHONE, OTHER_PHONE)
NAMES = ("Ян", "яна", "Ян Ли", "Bo")
STAGES = ("NEW", "JUNK")


@dataclass
class ExpectedUser:
    """A user as last written, and the outcome of that write."""

    event: Event
    sync: str = "waiting"

    def is_named(self, text: str) -> bool:
        """Whether a search for this text finds the name: it contains each word.

        Words of one or two letters must begin a name.
        """
        full_name = self.event.user.full_name.lower()

        def matches(word: str) -> bool:
            if len(word) > 2:
                return word in full_name
            return any(name.startswith(word) for name in full_name.split())

        return all(map(matches, text.lower().split()))


def catch_up() -> None:
    """Index all users written so far."""
    search_index.catch_up(until=time.monotonic() + 60)


def create(name: str = "Ann", stage: str = "NEW") -> Event:
    return write.create(NewUser(full_name=name, phone=PHONE, stage=stage), key=None).event


def change(event: Event, request: Changes | Move) -> Event:
    return write.change(event.user.id, request, expected_version=None, key=None).event


def settle_event(event: Event, *, is_synced: bool) -> None:
    """Settle an event with a success or a permanent failure."""
    fields = {"action": event.action, "user_id": event.user.id, "event_id": str(event.id)}
    success = {"status": "success", "bitrix_lead_id": event.user.id}
    outcome = success if is_synced else {"status": "error"}
    settle.apply([ReceivedReply(Reply(**fields, **outcome))])


def find_ids(**query: object) -> list[int]:
    """The ids of the users on all pages of a search, the newest first."""
    ids: list[int] = []
    after: str | None = "0"
    while after is not None:
        page = search.page(Search(**query, limit=2, after=int(after)))
        ids += [user["id"] for user in page["items"]]
        after = page["next"]
    return ids


class Machine(RuleBasedStateMachine):
    """Users written, settled and indexed in any order, compared with a plain list."""

    @staticmethod
    def delete_users() -> object:
        """Empty the tables; else each search would also read the users of all earlier examples."""
        raise NotImplementedError

    @initialize()
    def begin_without_users(self) -> None:
        self.delete_users()
        self.users: list[ExpectedUser] = []

    @rule(name=st.sampled_from(NAMES), stage=st.sampled_from(STAGES))
    def create(self, name: str, stage: str) -> None:
        self.users.append(ExpectedUser(create(name, stage)))

    @rule(
        data=st.data(),
        request=st.one_of(
            st.sampled_from(NAMES).map(lambda name: Changes(full_name=name)),
            st.sampled_from(STAGES).map(lambda stage: Move(stage=stage)),
            st.sampled_from(PHONES).map(lambda phone: Changes(phone=phone)),
        ),
    )
    def change(self, data: st.DataObject, request: Changes | Move) -> None:
        for user in self._any_user(data):
            user.event, user.sync = change(user.event, request), "waiting"

    @rule(data=st.data(), is_synced=st.booleans())
    def settle(self, data: st.DataObject, *, is_synced: bool) -> None:
        for user in self._any_user(data):
            settle_event(user.event, is_synced=is_synced)
            if user.sync != "synced":  # a later failure changes no success
                user.sync = "synced" if is_synced else "failed"

    @rule()
    def index(self) -> None:
        catch_up()

    @invariant()
    def all_users_are_found_by_their_values(self) -> None:
        for name in ("я", "ЯН", "ян ли", "bo"):
            self._check_search(lambda user, name=name: user.is_named(name), find=name)
        for part, phone in (
            ("8 (700) 111-22-33", PHONE),
            ("0182", OTHER_PHONE),
            ("+493", OTHER_PHONE),
        ):
            self._check_search(lambda user, phone=phone: user.event.user.phone == phone, find=part)
        for stage in STAGES:
            self._check_search(
                lambda user, stage=stage: user.event.user.stage == stage, stage=stage
            )
        for sync in ("waiting", "synced", "failed"):
            self._check_search(lambda user, sync=sync: user.sync == sync, sync=sync)
        self._check_search(
            lambda user: user.sync == "failed" and user.is_named("ян"), sync="failed", find="ян"
        )
        self._check_search(
            lambda user: user.event.user.stage == "JUNK" and user.is_named("я"),
            stage="JUNK",
            find="Я",
        )

    @invariant()
    def failed_users_are_listed(self) -> None:
        failed = [user.event.user.id for user in self.users if user.sync == "failed"]
        assert failed_users.ids(FailedFilter(), limit=100, after=0) == failed

    def _any_user(self, data: st.DataObject) -> list[ExpectedUser]:
        """Any one of the users; an empty list if there is none."""
        return [data.draw(st.sampled_from(self.users))] if self.users else []

    def _check_search(self, is_match: Callable[..., bool], **query: object) -> None:
        """Check that a search finds exactly the matching users, the newest first."""
        expected = [user.event.user.id for user in self.users[::-1] if is_match(user)]
        assert find_ids(**query) == expected, query


@pytest.mark.slow("searches in fourteen ways after each of many steps")
@pytest.mark.parametrize(
    ("common", "scan_ids", "growth"),
    [(2000, 20_000, 16), (1, 1, 1)],
    ids=["rare terms", "common terms"],
)
def test_users_are_found_by_their_current_values_after_any_steps(
    common: int, scan_ids: int, growth: int, monkeypatch: pytest.MonkeyPatch, postgres: str
) -> None:
    monkeypatch.setattr(newest_first, "COMMON", common)
    monkeypatch.setattr(newest_first, "SCAN_IDS", scan_ids)
    monkeypatch.setattr(newest_first, "GROWTH_FACTOR", growth)
    with _owner(postgres) as owner:
        truncate = partial(owner.run, "TRUNCATE users RESTART IDENTITY CASCADE")
        monkeypatch.setattr(Machine, "delete_users", staticmethod(truncate))
        run_state_machine_as_test(
            Machine, settings=settings(max_examples=12, stateful_step_count=12, deadline=None)
        )


@pytest.mark.parametrize("common", [1, 2000], ids=["common terms", "rare terms"])
def test_a_name_is_found_without_its_accents(common: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_first, "COMMON", common)
    names = (
        "Пётр Королёв", "петр Андрей", "Jan Nova\u0301k", "DVOŘÁK Łukasz", "Jürgen Strauß",
        "Нико\u0301лаи\u0306", "ΓΙΩΡΓΟΣ", "Ann",
    )  # fmt: skip
    ids = [create(name).user.id for name in names]
    for is_indexed in (False, True):
        for text, found_indexes in (
            ("петр", (1, 0)),
            ("ПЁТР", (1, 0)),
            ("королев пёт", (0,)),
            ("андрей", (1,)),
            ("андреи", ()),
            ("novak", (2,)),
            ("NOVÁK", (2,)),
            ("dvorak luk", (3,)),
            ("strauss", (4,)),
            ("jurg", (4,)),
            ("николай", (5,)),
            ("γιώργος", (6,)),
            ("ё", ()),
        ):
            found_ids = [ids[index] for index in found_indexes]
            assert find_ids(find=text) == found_ids, (text, is_indexed)
        catch_up()


def test_a_rare_word_saves_reading_the_users_with_a_common_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(newest_first, "SCAN_IDS", 10)
    execute(
        "INSERT INTO users (full_name, phone, stage)"
        " SELECT 'Solovyov ' || n, '+77001112233', 'NEW' FROM generate_series(1, 600) AS n"
    )
    catch_up()
    execute("BEGIN")  # the statements that follow use the same connection
    before = _users_read()
    assert find_ids(find="solovyov 59") == [*range(599, 589, -1), 59]
    after = _users_read()
    execute("ROLLBACK")
    assert after - before < 100


def _users_read() -> int:
    """How many rows of `users` this transaction has read."""
    (read,) = rows(
        "SELECT CAST(seq_tup_read + idx_tup_fetch AS bigint) AS users_read"
        " FROM pg_stat_xact_user_tables WHERE relname = 'users'"
    )
    return int(read["users_read"])


def test_former_values_are_not_found() -> None:
    first = create("Ánn")
    change(first, Changes(full_name="Bó"))
    catch_up()
    change(change(first, Changes(full_name="Ánn")), Changes(full_name="Cy", stage="JUNK"))
    change(create("Dí"), Changes(full_name="Ed"))
    catch_up()
    assert rows("SELECT term FROM user_terms ORDER BY term") == [
        {"term": term} for term in (PHONE, PHONE, "JUNK", "NEW", "cy", "ed")
    ]
    assert rows("SELECT * FROM users_to_index") == []


def test_nothing_is_lost_with_concurrent_writes_and_indexing() -> None:
    users = [create(), create()]

    def work(number: int) -> None:
        """In threads 0 and 1 index users, in 2 and 3 rename them, in 4 and 5 move and settle."""
        for turn in range(20):
            user = users[turn % 2]
            if number < 2:
                search_index.catch_up(until=time.monotonic())
            elif number < 4:
                change(user, Changes(full_name=f"N{(turn + number) % 3}", stage="JUNK"))
            else:
                settle_event(change(user, Move(stage="NEW")), is_synced=number % 2 == 0)

    in_threads(6, work)
    catch_up()
    assert rows("SELECT kind, term, user_id FROM user_terms ORDER BY kind, user_id") == rows(
        "SELECT 'name' AS kind, lower(full_name) AS term, id AS user_id FROM users"
        " UNION ALL SELECT 'stage', stage, id FROM users"
        " UNION ALL SELECT 'phone', phone, id FROM users ORDER BY kind, user_id"
    )
    assert rows("SELECT * FROM unsynced_users ORDER BY user_id") == rows(
        "SELECT sync_status AS status, id AS user_id FROM users"
        " WHERE sync_status <> 'synced' ORDER BY id"
    )


def test_the_relay_indexes_while_the_broker_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://127.0.0.1:1/")
    monkeypatch.setattr("leadline.runtime.rabbitmq.publisher.CONFIRM_TIMEOUT_S", 0.3)
    create()
    execute("UPDATE events SET due_at = now()")
    with pytest.raises(BrokerDown):
        relay.run()
    assert rows("SELECT * FROM users_to_index") == []


def test_a_user_deleted_by_hand_is_not_found(in_postgres: str, postgres: str) -> None:
    assert in_postgres
    user = create().user.id
    catch_up()
    with _owner(postgres) as owner:
        owner.run("DELETE FROM events")
        owner.run("DELETE FROM users")
    assert user not in find_ids(find="Ann")
    catch_up()
    assert rows("SELECT user_id FROM user_terms UNION SELECT user_id FROM unsynced_users") == []


def test_rows_that_bypassed_the_triggers_do_not_stop_writes(postgres: str) -> None:
    event = create()
    settle_event(event, is_synced=True)
    with _owner(postgres) as owner:
        owner.run("INSERT INTO unsynced_users VALUES ('waiting', :id)", id=event.user.id)
    assert change(event, Move(stage="JUNK")).version == 2
    assert find_ids(sync="waiting") == [event.user.id]


def test_a_truncated_table_leaves_no_user_in_the_index(postgres: str) -> None:
    create()
    catch_up()
    create()
    with _owner(postgres) as owner:
        owner.run("TRUNCATE users RESTART IDENTITY CASCADE")
    for table in ("user_terms", "unsynced_users", "users_to_index"):
        assert rows(f"SELECT user_id FROM {table}") == []  # noqa: S608 - of this test
    assert create().user.id == 1


@pytest.mark.parametrize("request_", [Changes(full_name="Bo"), Move(stage="JUNK")])
def test_a_write_and_its_reply_update_no_index_of_users(request_: Changes | Move) -> None:
    """Each update would dirty a random page of a large table: docs/postgres.md, "Millions of
    users".
    """
    event = create()
    settle_event(event, is_synced=True)  # the first reply brings the lead's id, which is indexed
    execute("BEGIN")  # the statements that follow use the same connection
    before = _updates()
    settle_event(change(event, request_), is_synced=True)
    after = _updates()
    execute("COMMIT")
    assert {name: after[name] - before[name] for name in after} == {"all": 2, "in_place": 2}


def _updates() -> dict[str, int]:
    """How many rows of `users` this transaction has updated, and how many without their indexes."""
    (counted,) = rows("""
        SELECT pg_stat_get_xact_tuples_updated(CAST('users' AS regclass)) AS all,
               pg_stat_get_xact_tuples_hot_updated(CAST('users' AS regclass)) AS in_place
    """)
    return counted


def _owner(url: str) -> pg8000.native.Connection:
    return pg8000.native.Connection(**servers(url).options[0])
