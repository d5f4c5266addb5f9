"""The console's requests to the ledger and to Redis."""

import pytest

from leadline.errors import PortalDown
from leadline.ledger import write
from leadline.ledger.backlog import CachedCounts, counts
from leadline.users import newest_first, search
from leadline.users.model import NewUser
from leadline.users.search import Search
from leadline.workqueue.portal_state import circuit_breaker
from tests.integration.conftest import rows


def create(name: str = "Ann", phone: str = "+77001112233") -> int:
    return write.create(NewUser(full_name=name, phone=phone), None).event.user.id


def age(user_id: int) -> None:
    sql = "UPDATE users SET created_at = now() - interval '2 minutes' WHERE id = :id"
    rows(sql, id=user_id)


@pytest.mark.usefixtures("in_postgres")
def test_cached_counts_equal_fresh_ones() -> None:
    counter = CachedCounts()
    assert counter.counts() == counts()
    for number in range(6):
        user_id = create()
        if number % 2:
            age(user_id)
        assert counter.counts().users == number + 1
        assert counter.counts().users == counts().users


@pytest.mark.usefixtures("in_postgres")
@pytest.mark.parametrize(("few", "near"), [(1, 1), (1, 2000), (2000, 2000)])
def test_users_are_found_by_rare_and_common_terms_near_and_far(
    few: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_first, "COMMON", few)
    monkeypatch.setattr(newest_first, "SCAN_IDS", near)
    ids = [create("Анна Ким"), create("анна Ли", "+77009998877"), create("Ян")]

    def found(text: str, after: int = 0) -> list[int]:
        return [user["id"] for user in search.page(Search(find=text, after=after))["items"]]

    assert found("АННА") == [ids[1], ids[0]]
    assert found("анна", after=ids[1]) == [ids[0]]
    assert found("+7 700 111") == [ids[2], ids[0]]
    assert found("77009") == [ids[1]]
    assert found(str(ids[2])) == [ids[2]]
    assert found("") == ids[::-1]


@pytest.mark.usefixtures("in_redis")
def test_a_manual_hold_is_resumed_only_by_an_operator() -> None:
    pause = circuit_breaker()
    pause.open(PortalDown("the webhook was revoked"))
    assert pause.state()
    pause.hold("by hand")
    pause.close()
    pause.open(PortalDown("again"))
    held = pause.state()
    assert held
    assert (held.is_held, held.reason) == (True, "by hand")
    assert not pause.claim_probe()
    assert pause.release()
    assert pause.state() is None
    assert not pause.release()
