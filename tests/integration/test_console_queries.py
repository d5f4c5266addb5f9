"""The console's requests to the ledger and to Redis."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from leadline.errors import PortalDown
from leadline.ledger import write
from leadline.ledger.backlog import CachedCounts, counts
from leadline.users import newest_first, search, search_index
from leadline.users.model import NewUser
from leadline.users.search import Search
from leadline.workqueue.portal_state import circuit_breaker
from tests.integration.conftest import execute

PAGE = Path(__file__).parents[2] / "functions/console/page"


def create(name: str = "Ann", phone: str = "+77001112233") -> int:
    return write.create(NewUser(full_name=name, phone=phone), key=None).event.user.id


def make_older(user_id: int) -> None:
    """Make a user older than a minute: then cached counts remember that it is counted."""
    sql = "UPDATE users SET created_at = now() - interval '2 minutes' WHERE id = :id"
    execute(sql, id=user_id)


@pytest.mark.usefixtures("in_postgres")
def test_cached_counts_equal_fresh_ones() -> None:
    counter = CachedCounts()
    assert counter.counts() == counts()
    for number in range(6):
        user_id = create()
        if number % 2:
            make_older(user_id)
        assert counter.counts().users == number + 1
        assert counter.counts().users == counts().users


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize(("common", "scan_ids"), [(1, 1), (1, 2000), (2000, 2000)])
def test_users_are_found_by_rare_and_common_terms_near_and_far(
    common: int, scan_ids: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_first, "COMMON", common)
    monkeypatch.setattr(newest_first, "SCAN_IDS", scan_ids)
    ids = [create("Анна Ким"), create("анна Ли", "+77009998877"), create("Ян")]

    def search_ids(text: str, after: int = 0) -> list[int]:
        return [user["id"] for user in search.page(Search(find=text, after=after))["items"]]

    assert search_ids("АННА") == [ids[1], ids[0]]
    assert search_ids("анна", after=ids[1]) == [ids[0]]
    assert search_ids("+7 700 111") == [ids[2], ids[0]]
    assert search_ids("77009") == [ids[1]]
    assert search_ids(str(ids[2])) == [ids[2]]
    assert search_ids("") == ids[::-1]


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_example_of_the_hint_finds_what_it_promises(language: str) -> None:
    texts = (PAGE / f"texts/{language}.js").read_text(encoding="utf-8")
    hint = re.search(r'findHint: "[^:]*: (.*)"', texts)
    assert hint
    examples = hint[1].partition('",')[0].split(" · ")
    assert len(examples) == 6
    name = "Ivan Ivanov" if language == "en" else "Иван Иванов"
    execute(
        "INSERT INTO users (id, full_name, phone, stage, bitrix_lead_id, synced_version,"
        " sync_status) VALUES (42, :name, '+77001112233', 'NEW', 456, 1, 'synced')",
        name=name,
    )
    execute(
        "INSERT INTO events (id, user_id, version, action, full_name, phone, stage, changed,"
        " correlation_id, traceparent, due_at) VALUES (gen_random_uuid(), 42, 1, 'create_card',"
        " :name, '+77001112233', 'NEW', 'stage', '3f2a…', '', now())",
        name=name,
    )
    for example in examples:
        assert [user["id"] for user in search.page(Search(find=example))["items"]] == [42], example


@pytest.mark.usefixtures("in_postgres")
def test_a_number_finds_the_user_with_that_id_before_phones_that_contain_it() -> None:
    by_id = create(phone="+4930901820")
    execute("UPDATE users SET bitrix_lead_id = 7001 WHERE id = :id", id=by_id)
    newer = [create() for _ in range(3)][::-1]
    first = search.page(Search(find="7001", limit=2))
    assert [user["id"] for user in first["items"]] == [by_id, *newer[:2]]
    rest = search.page(Search(find="7001", limit=2, after=int(first["next"] or 0)))
    assert [user["id"] for user in rest["items"]] == newer[2:], "and only once"


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("8 912", ["+79123456789"]),
        ("8 (912) 345-67", ["+79123456789"]),
        ("912 345", ["+79123456789"]),
        ("0171 2", ["+491712345678"]),
        ("0049 171", ["+491712345678"]),
        ("06 12", ["+33612345678", "+390612345678"]),
        ("8 029", ["+375297654321"]),
        ("0 912", []),
        ("00", []),
    ],
)
def test_a_part_of_a_phone_is_found_as_it_is_dialled(text: str, phones: list[str]) -> None:
    """With the prefix for calls within its country or to another one, before and after indexing."""
    numbers = ("+79123456789", "+491712345678", "+33612345678", "+390612345678", "+375297654321")
    for number in numbers:
        create(phone=number)
    for _ in range(2):
        found = search.page(Search(find=text))["items"]
        assert sorted(user["phone"] for user in found) == sorted(phones)
        search_index.catch_up(until=time.monotonic() + 60)


@pytest.mark.usefixtures("in_postgres")
def test_a_user_is_found_by_its_external_id() -> None:
    ids = [create(), create()]
    for external_id in ("crm-4711", "4711"):
        execute(
            "UPDATE users SET external_id = :external_id WHERE id = :id",
            external_id=external_id,
            id=ids[0],
        )
        found = search.page(Search(find=external_id))["items"]
        assert [user["id"] for user in found] == ids[:1]


@pytest.mark.usefixtures("in_postgres")
def test_users_are_filtered_by_the_time_of_their_last_activity() -> None:
    old, settled, written = create(), create(), create()
    # An event's id begins with its time; the last digit is added below.
    long_ago = "00000000-0001-7000-8000-00000000000"
    for number, user_id in enumerate((old, settled), 1):
        execute(
            "UPDATE events SET id = CAST(:id AS uuid), state = 'synced', due_at = NULL,"
            " settled_at = now() - interval '2 days' WHERE user_id = :user_id",
            id=f"{long_ago}{number}",
            user_id=user_id,
        )
    execute("UPDATE events SET settled_at = now() WHERE user_id = :id", id=settled)
    since = datetime.now(UTC) - timedelta(hours=1)
    found = search.page(Search(active_since=since))["items"]
    assert [user["id"] for user in found] == [written, settled]


@pytest.mark.usefixtures("in_redis")
def test_a_manual_hold_is_resumed_only_by_an_operator() -> None:
    breaker = circuit_breaker()
    breaker.open(PortalDown("the webhook was revoked"))
    assert breaker.restore_and_read()
    breaker.hold("by hand")
    breaker.close()
    breaker.open(PortalDown("again"))
    held = breaker.restore_and_read()
    assert held
    assert (held.is_manual_hold, held.reason) == (True, "by hand")
    assert not breaker.claim_probe()
    assert breaker.resume()
    assert breaker.restore_and_read() is None
    assert not breaker.resume()
