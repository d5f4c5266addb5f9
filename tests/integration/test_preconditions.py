"""If-Match under races: each accepted conditional write follows exactly the version it expected."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import pytest

from leadline.errors import VersionMismatch
from leadline.ledger import write
from leadline.ledger.event import IdempotencyKey
from leadline.users.model import Changes, NewUser, UserId
from tests.integration.conftest import in_greenlets, in_processes, rows

pytestmark = pytest.mark.usefixtures("in_postgres")

ROUNDS = 30


@dataclass(frozen=True)
class Write:
    """A write and its result."""

    user: UserId
    #: The version that If-Match named; None: without a precondition.
    expected: int | None
    #: The new version; None: the precondition failed.
    version: int | None
    name: str


def create() -> UserId:
    return write.create(NewUser(full_name="Ann", phone="+77001112233"), key=None).event.user.id


def write_if(user: UserId, expected: int | None, name: str, *, has_key: bool = False) -> Write:
    """Rename a user if it has the expected version, perhaps under an idempotency key."""
    key = IdempotencyKey("caller", name, name.encode()) if has_key else None
    try:
        event = write.change(user, Changes(full_name=name), expected, key).event
    except VersionMismatch:
        return Write(user, expected, None, name)
    assert event.user.full_name == name
    return Write(user, expected, event.version, name)


def send_concurrently(writes: Sequence[Callable[[], Write]]) -> list[Write]:
    """Send requests that arrive at the same time; returns their answers in this order."""
    return in_greenlets(len(writes), lambda number: writes[number]())


def stale(writes: Iterable[Write]) -> list[Write]:
    """Accepted writes that did not follow the version they expected."""
    return [
        sent
        for sent in writes
        if sent.expected is not None and sent.version not in (None, sent.expected + 1)
    ]


def test_a_stale_precondition_fails_whatever_is_written_at_the_same_moment() -> None:
    user, version = create(), 1
    for round_ in range(ROUNDS):
        expectations = [None, version - 1, None, version, version, version + 1]
        random.Random(round_).shuffle(expectations)  # noqa: S311 - no secret
        answers = send_concurrently(
            [
                partial(write_if, user, expected, f"{round_}-{number}")
                for number, expected in enumerate(expectations)
            ]
        )
        assert stale(answers) == []
        versions = sorted(answer.version for answer in answers if answer.version is not None)
        assert versions == list(range(version + 1, version + 1 + len(versions)))
        accepted = Counter(answer.expected for answer in answers if answer.version is not None)
        assert accepted[None] == 2, "without a precondition, both writes succeed"
        assert accepted[version - 1] == 0
        assert accepted[version] <= 1
        version = versions[-1]


def test_the_first_of_several_conditional_writes_in_one_statement_wins() -> None:
    users = [create() for _ in range(5)]
    for round_ in range(ROUNDS // 3):
        version = round_ + 1
        writes = [
            partial(write_if, user, version, f"{round_}-{number}-{user}")
            for number in range(3)
            for user in users
        ]
        answers = send_concurrently(writes)
        assert [answer.version for answer in answers] == [version + 1] * 5 + [None] * 10


def test_a_precondition_under_an_idempotency_key_holds_against_others_without_one() -> None:
    user = create()
    for round_ in range(ROUNDS // 3):
        version = round_ + 1
        answers = send_concurrently(
            [
                partial(write_if, user, version, f"{round_}-{number}", has_key=bool(number % 2))
                for number in range(6)
            ]
        )
        assert [answer.version for answer in answers if answer.version is not None] == [version + 1]


def race(seed: int, users: Sequence[UserId]) -> list[Write]:
    """Write users with guessed versions, while other processes do the same; returns the results."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    answers: list[Write] = []
    for round_ in range(ROUNDS):
        newest = {answer.user: answer.version for answer in answers if answer.version is not None}

        def attempt(number: int, newest: dict[UserId, int] = newest, round_: int = round_) -> Write:
            user = dice.choice(users)
            guess = max(1, newest.get(user, 1) + dice.choice((-1, 0, 0, 1, 2)))
            expected = dice.choice((None, guess, guess))
            name = f"{seed}-{round_}-{number}"
            return write_if(user, expected, name, has_key=dice.random() < 0.2)

        answers += in_greenlets(12, attempt)
    return answers


def test_conditional_writes_of_several_processes_form_a_chain() -> None:
    users = [create() for _ in range(3)]
    answers = list(chain.from_iterable(in_processes(3, partial(race, users=users))))
    assert stale(answers) == []
    accepted = {
        (answer.user, answer.version): answer.name
        for answer in answers
        if answer.version is not None
    }
    assert len(accepted) == sum(answer.version is not None for answer in answers)
    recorded = rows("SELECT user_id, version, full_name FROM events WHERE version > 1")
    assert {(row["user_id"], row["version"]): row["full_name"] for row in recorded} == accepted
    for row in rows("SELECT id, version, full_name FROM users"):
        assert accepted[row["id"], row["version"]] == row["full_name"]
    conditional = [answer for answer in answers if answer.expected is not None]
    succeeded = [answer for answer in conditional if answer.version is not None]
    assert len(succeeded) > 5, "some guesses were right"
    assert len(succeeded) < len(conditional), "some guesses were wrong"
