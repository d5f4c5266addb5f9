"""Idempotency keys: the same key and body give the same answer, however often and concurrently."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
import requests

from tests.faults import portal
from tests.system import System

NEW = {"full_name": "Кто Повторяет", "phone": "+77001112233"}


def _post(system: System, key: str, body: object, path: str = "/users") -> requests.Response:
    return system.request("POST", path, json=body, headers={"Idempotency-Key": key})


def test_the_same_key_and_body_give_the_same_answer_and_one_user(system: System) -> None:
    key = str(uuid4())
    answers = [_post(system, key, NEW) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["Location"] for answer in answers}) == 1
    assert {answer.headers["ETag"] for answer in answers} == {'"1"'}
    user = answers[0].json()["id"]
    assert len(system.await_synced(user)["sync"]["events"]) == 1
    portal.lead_of(system, user)


def test_twenty_concurrent_requests_with_one_key_create_one_user(system: System) -> None:
    key = str(uuid4())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: _post(system, key, NEW), range(20)))
    served = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert served
    assert len({answer.content for answer in served}) == 1
    assert _post(system, key, NEW).content == served[0].content


def test_the_same_key_for_another_request_is_422(system: System) -> None:
    key = str(uuid4())
    first = _post(system, key, NEW)
    for body in ({**NEW, "full_name": "Кто Другой"}, {**NEW, "stage": "JUNK"}):
        assert _post(system, key, body).status_code == 422
    move = f"{first.headers['Location']}/move"
    assert _post(system, key, {"stage": "JUNK"}, move).status_code == 422
    assert _post(system, key, NEW).content == first.content
    assert system.user(first.json()["id"])["sync"]["version"] == 1


def test_a_repeated_move_or_update_counts_once(system: System) -> None:
    path = f"/users/{system.create()['id']}"
    for version, (method, suffix, body) in enumerate(
        (("PATCH", "", {"full_name": "Раз"}), ("POST", "/move", {"stage": "JUNK"})), start=2
    ):
        headers = {"Idempotency-Key": str(uuid4())}
        with ThreadPoolExecutor(8) as pool:
            answers = list(
                pool.map(
                    lambda _, m=method, s=suffix, b=body, h=headers: system.request(
                        m, path + s, json=b, headers=h
                    ),
                    range(8),
                )
            )
        assert {answer.status_code for answer in answers} <= {200, 409}
        tags = {answer.headers["ETag"] for answer in answers if answer.status_code == 200}
        assert tags == {f'"{version}"'}


@pytest.mark.parametrize("key", ["", "x" * 256, "ключ".encode().decode("latin-1")])
def test_a_key_that_is_empty_too_long_or_not_ascii_is_400(system: System, key: str) -> None:
    assert _post(system, key, NEW).status_code == 400


@pytest.mark.parametrize("key", ["x" * 219, "'; DROP TABLE users; --"])
def test_a_key_may_be_any_ascii_text(system: System, key: str) -> None:
    key += str(uuid4())  # 36 characters more: 255 at most
    first, second = (_post(system, key, NEW) for _ in range(2))
    assert (first.status_code, first.content) == (201, second.content)


def test_a_key_whose_write_failed_can_be_used_again(system: System) -> None:
    key = str(uuid4())
    assert _post(system, key, {**NEW, "phone": "nonsense"}).status_code == 422
    assert _post(system, key, NEW).status_code == 201
