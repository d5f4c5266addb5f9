"""Keys: the scopes of an entry, accepted and refused callers, and what is logged of a refusal."""

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from leadline.errors import (
    BadConfiguration,
    ExpiredKey,
    Forbidden,
    Unauthorized,
)
from leadline.runtime.http import api_keys, auth, refusals
from leadline.runtime.http.rate_limit import RateLimiter
from tests.unit.conftest import Configure

KEY, OTHER, THIRD = (f"{name}-{'k3Y' * 8}-abcdefgh" for name in ("first", "other", "third"))
ALL = frozenset(get_args(auth.Scope)) - {"internal"}
API = frozenset({"read", "write"})


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("LEADLINE_SECRETS_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def log() -> Iterator[list[structlog.typing.EventDict]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def granted_scopes(key: str) -> set[str]:
    """The scopes that this key grants."""
    found = set()
    for scope in get_args(auth.Scope):
        try:
            auth.authenticate(f"Bearer {key}", scope)
        except (Unauthorized, Forbidden):
            continue
        found.add(scope)
    return found


# Entries


def test_without_keys_no_function_starts_unless_auth_is_off(configure: Configure) -> None:
    for scopes, secret in ((API, "api-keys"), (frozenset({"internal"}), "internal-key")):
        with pytest.raises(BadConfiguration, match=secret):
            auth.check_configured(scopes)
    configure(auth="off")
    auth.check_configured(API)
    assert auth.authenticate(None, "write") == ""
    assert auth.own_key() is None


def test_an_empty_key_file_contains_no_key(folder: Path) -> None:
    (folder / "api-keys").write_text("\n \n# no key\n")
    with pytest.raises(BadConfiguration):
        auth.check_configured(API)
    with pytest.raises(Forbidden):
        auth.authenticate("Bearer anything", "read")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (KEY, {"read", "write"}),
        (f"read:{KEY}", {"read"}),
        (f"write:{KEY}", {"write"}),
        (f"operate:{KEY}", {"operate"}),
        (f"write,read:{KEY}", {"read", "write"}),
        (f"site:write:{KEY}", {"write"}),
    ],
)
def test_a_key_has_the_scopes_of_its_entry(folder: Path, entry: str, expected: set[str]) -> None:
    (folder / "api-keys").write_text(f"# of ours\n{OTHER}\n{entry}\n")
    auth.check_configured(API)
    assert granted_scopes(KEY) == expected
    assert (
        granted_scopes(KEY[:-1])
        == granted_scopes(f"{KEY}x")
        == granted_scopes(entry.rpartition(":")[0])
        == set()
    )


def test_a_key_without_scopes_is_reported_at_startup_and_may_not_operate(
    folder: Path, log: list[structlog.typing.EventDict]
) -> None:
    (folder / "api-keys").write_text(f"{KEY}\nread:{OTHER}")
    auth.check_configured(API)
    assert [line["entry"] for line in log] == [1]
    assert KEY not in str(log)
    assert granted_scopes(KEY) == {"read", "write"}


@given(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    scopes=st.sets(st.sampled_from(sorted(ALL)), min_size=1),
    days=st.one_of(st.none(), st.integers(0, 10_000)),
)
def test_a_generated_key_matches_its_entry(name: str, scopes: set[str], days: int | None) -> None:
    key, entry = api_keys.create(name, frozenset(scopes), days)
    parsed_key = api_keys.parse(entry)
    assert (parsed_key.name, parsed_key.defect) == (name, "")
    assert parsed_key.scopes == scopes
    assert parsed_key.digest == api_keys.digest_of(key.encode())
    assert not parsed_key.is_expired
    assert parsed_key.expires in entry
    assert key.startswith(parsed_key.prefix)
    assert api_keys.weakness(key) == ""
    assert key not in entry


@pytest.mark.parametrize("name", ["", "a b", "a:b", "-a", "a" * 65, "имя"])
def test_a_name_that_does_not_fit_an_entry_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|parts"):
        api_keys.create(name, API, None)


def test_a_hashed_entry_cannot_be_used_as_a_key(folder: Path) -> None:
    key, entry = api_keys.create("site", frozenset({"write"}), 30)
    (folder / "api-keys").write_text(entry)
    auth.check_configured(API)
    assert granted_scopes(key) == {"write"}
    assert auth.authenticate(f"Bearer {key}", "write") == "site"
    for sent in (entry, *entry.split(":"), bytes.fromhex(entry.rpartition(":")[2]).hex().upper()):
        assert granted_scopes(sent) == set()


def test_an_expired_key_grants_nothing_and_does_not_prevent_startup(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, entry = api_keys.create("site", API, 1)
    (folder / "api-keys").write_text(entry)
    auth.check_configured(API)
    assert granted_scopes(key) == API
    after_expiry = time.time() + 2 * 86_400
    monkeypatch.setattr(time, "time", lambda: after_expiry)
    with pytest.raises(ExpiredKey):
        auth.authenticate(f"Bearer {key}", "read")
    auth.check_configured(API)


WEAK = ["k3y", "hunter2-hunter2", "a" * 100, "ab" * 40, "1234567890" * 3, "CHANGE-ME-first-key"]


@pytest.mark.parametrize("key", WEAK)
def test_a_key_of_fewer_than_128_bits_prevents_startup_and_grants_nothing(
    folder: Path, key: str
) -> None:
    for text, number in ((key, 1), (f"{KEY}\nread:{key}", 2), (f"{KEY} {OTHER} x:read:{key}", 3)):
        (folder / "api-keys").write_text(text)
        with pytest.raises(
            BadConfiguration, match=rf"api-keys, entry {number}: .*128 bits"
        ) as caught:
            auth.check_configured(API)
        assert key not in str(caught.value)
        assert granted_scopes(key) == set()
    (folder / "internal-key").write_text(key)
    with pytest.raises(BadConfiguration, match="internal-key, entry 1"):
        auth.check_configured(frozenset({"internal"}))
    assert granted_scopes(key) == set()


@pytest.mark.parametrize(
    "key",
    [
        "9f86d081884c7d659a2feaa0c55ad015",  # openssl rand -hex 16
        "rt6u8fO1pSD0kkvG8bTz4A",  # 16 bytes in base64url
        "pqlztwhsmgbfkcvnrjdxyeuoaipq",
    ],
)
def test_a_random_key_of_128_bits_is_strong_enough(key: str) -> None:
    assert api_keys.weakness(key) == ""
    assert api_keys.weakness(key[:-1])


@pytest.mark.parametrize(
    "entry",
    [
        f"raed:{KEY}",
        f"read,:{KEY}",
        f":{KEY}",
        "read:",
        f"read;write:{KEY}",
        f"internal:{KEY}",
        f"read,internal:{KEY}",
        f":read:{KEY}",
        f"a b:{KEY}:c:d",  # read as two entries
        "site:read:ll_abcde:never:" + "a" * 63,
        "site:read:ll_abcde:soon:" + "a" * 64,
        "site:read:ll_abcde:20270101:" + "a" * 64,
        "site:everything:ll_abcde:never:" + "a" * 64,
    ],
)
def test_an_invalid_entry_prevents_startup_and_grants_nothing(folder: Path, entry: str) -> None:
    (folder / "api-keys").write_text(f"{OTHER}\n{entry}")
    with pytest.raises(BadConfiguration, match=r"entry [23]") as error:
        auth.check_configured(API)
    assert KEY not in str(error.value)
    assert granted_scopes(OTHER) == API
    for sent in (KEY, entry, "k"):
        assert granted_scopes(sent) == set()


# Callers


def test_internal_functions_accept_only_the_internal_key(folder: Path) -> None:
    (folder / "api-keys").write_text(f"read,write,operate,erase:{KEY}")
    (folder / "internal-key").write_text(f"{OTHER}\n{THIRD}\n")
    auth.check_configured(frozenset({"internal"}))
    assert granted_scopes(KEY) == ALL
    assert granted_scopes(OTHER) == granted_scopes(THIRD) == {"internal"}
    assert auth.own_key() == OTHER


def test_both_keys_of_a_holder_are_one_caller_while_they_are_rotated(folder: Path) -> None:
    old, old_entry = api_keys.create("site", API, None)
    new, new_entry = api_keys.create("site", API, None)
    (folder / "api-keys").write_text(f"{old_entry}\n{new_entry}\n{KEY}\n{OTHER}")
    assert {auth.authenticate(f"Bearer {key}", "write") for key in (old, new)} == {"site"}
    # The caller of a key without a name is a part of its digest, as stored before keys had names.
    (first, second) = (auth.authenticate(f"Bearer {key}", "write") for key in (KEY, OTHER))
    assert first == api_keys.digest_of(KEY.encode()).hex()[:16]
    assert first != second


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY])
def test_a_request_without_a_bearer_key_gets_a_401(folder: Path, header: str | None) -> None:
    (folder / "api-keys").write_text(KEY)
    with pytest.raises(Unauthorized):
        auth.authenticate(header, "read")


@pytest.mark.parametrize(
    "key", [KEY[:-1], f"{KEY}1", KEY.upper(), "ключ", "\udcff", f"{KEY} {KEY}", "x" * 10_000_000]
)
def test_a_wrong_key_gets_a_403(folder: Path, key: str) -> None:
    (folder / "api-keys").write_text(KEY)
    with pytest.raises(Forbidden):
        auth.authenticate(f"Bearer {key}", "read")


# Refusals


def refusal_count(reason: str) -> float:
    return refusals.REFUSED._values[(reason,)]  # noqa: SLF001


def test_a_refusal_is_counted_and_logged_with_the_prefix_of_the_key(
    folder: Path, log: list[structlog.typing.EventDict]
) -> None:
    key, entry = api_keys.create("reader", frozenset({"read"}), None)
    unknown, _ = api_keys.create("x", API, None)
    (folder / "api-keys").write_text(entry)
    before = {
        reason: refusal_count(reason) for reason in ("no_key", "unknown_key", "missing_scope")
    }
    for header in (None, f"Bearer {unknown}", f"Bearer {key}", "Bearer hunter2"):
        with pytest.raises((Unauthorized, Forbidden)):
            auth.authenticate(header, "write")
    caught = [(line["reason"], line["prefix"], line.get("caller")) for line in log]
    assert caught == [
        ("no_key", "", None),
        ("unknown_key", unknown[:8], None),
        ("missing_scope", key[:8], "reader"),
        ("unknown_key", "", None),  # too short to show any of it
    ]
    assert {reason: refusal_count(reason) - was for reason, was in before.items()} == {
        "no_key": 1,
        "unknown_key": 2,
        "missing_scope": 1,
    }


@example(KEY)
@given(st.one_of(st.text(), st.text(st.characters(codec="ascii"), min_size=15, max_size=80)))
def test_the_logged_prefix_of_a_key_leaves_the_rest_unguessable(sent: str) -> None:
    prefix = api_keys.prefix_of(sent)
    assert sent.startswith(prefix)
    assert len(prefix) <= 8
    assert len(prefix) * 4 <= len(sent)
    assert prefix.isascii()
    assert prefix == "" or prefix.isprintable()


def test_a_flood_of_guesses_is_counted_but_not_all_logged(
    folder: Path, log: list[structlog.typing.EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    # No token comes back while the test runs, however long that takes.
    monkeypatch.setattr(
        refusals, "RateLimiter", lambda **of: RateLimiter(per_s=1e-6, burst=of["burst"])
    )
    (folder / "api-keys").write_text(KEY)
    before = refusal_count("unknown_key")
    for number in range(1000):
        with pytest.raises(Forbidden):
            auth.authenticate(f"Bearer {number}", "read")
    assert refusal_count("unknown_key") - before == 1000
    assert len(log) == 20
    refusals._recent().log_limit = RateLimiter(per_s=1, burst=20)  # noqa: SLF001 - as a minute later
    with pytest.raises(Unauthorized):
        auth.authenticate(None, "read")
    assert log[-1]["not_logged"] == 1000 - 20


def test_refused_callers_wait_and_only_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MAX_DELAYED", 5)
    # No token comes back while the test runs, however long that takes.
    monkeypatch.setattr(
        refusals, "RateLimiter", lambda **of: RateLimiter(per_s=1e-6, burst=of["burst"])
    )
    waited = contextvars.ContextVar("waited", default=False)
    sleep = asyncio.sleep

    async def sleep_and_count(seconds: float) -> None:
        assert seconds == refusals.WAIT_S
        waited.set(True)
        await sleep(0.01)

    monkeypatch.setattr(asyncio, "sleep", sleep_and_count)

    refusal = (403, [("X-Call-Id", "call-1"), ("Content-Type", "x")], b"no")

    async def send_concurrently(number: int) -> list[tuple[int, bool]]:
        async def send_one() -> tuple[int, bool]:
            status, headers, _ = await refusals.delay(refusal)
            assert ("X-Call-Id", "call-1") in headers
            assert (status == 429) == ("Retry-After" in dict(headers))
            return status, waited.get()

        return await asyncio.gather(*(send_one() for _ in range(number)))

    # A few mistakes delay no caller.
    assert asyncio.run(send_concurrently(20)) == [(403, False)] * 20
    assert Counter(asyncio.run(send_concurrently(8))) == {(403, True): 5, (429, False): 3}
    assert asyncio.run(send_concurrently(1)) == [(403, True)]
