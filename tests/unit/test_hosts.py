"""URLs that name several hosts: IPv6 addresses, and passwords with any character."""

import urllib.parse
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from leadline import process
from leadline.cli.recovery import restore
from leadline.errors import BadConfiguration
from leadline.runtime import cleartext, secrets, sentinel
from leadline.runtime.hosts import each_host, with_first_host
from leadline.runtime.postgres.dsn import servers
from leadline.runtime.rabbitmq.connection import parameters
from leadline.runtime.redis import connect
from leadline.settings import settings

PASSWORD = "a,b@c:d/e?f#g[h]%i"  # noqa: S105 - of no server
LOGIN = f"leadline:{quote(PASSWORD, safe='')}"


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check like Python since 3.13.2, which rejects text around the brackets of an IPv6 host."""
    check: Any = vars(urllib.parse)["_checknetloc"]

    def check_brackets(netloc: str) -> None:
        check(netloc)
        before, has_bracket, bracketed = netloc.rpartition("@")[2].partition("[")
        after = bracketed.partition("]")[2]
        if has_bracket and (before or (after and not after.startswith(":"))):
            raise ValueError("Invalid IPv6 URL")

    monkeypatch.setattr(urllib.parse, "_checknetloc", check_brackets)
    monkeypatch.setenv("LEADLINE_CLEARTEXT", "postgres,rabbitmq,redis")
    process.forget(settings)
    _forget_urls()
    yield
    process.forget(settings)
    _forget_urls()


def _forget_urls() -> None:
    servers.cache_clear()
    urllib.parse.clear_cache()  # type: ignore[attr-defined]


def test_hosts_are_checked_like_in_newer_versions_of_python() -> None:
    with pytest.raises(ValueError, match="IPv6"):
        urlsplit("amqp://[::1],[::2]/")
    assert urlsplit("amqp://u:p@[::1]:5672/").hostname == "::1"


def test_hosts_may_be_ipv6_addresses() -> None:
    url = f"amqp://{LOGIN}@[2001:db8::1],two,[2001:db8::3]:5673/%2F"
    nodes = {(node.host, node.port) for node in parameters(url)}
    assert nodes == {("2001:db8::1", 5672), ("two", 5672), ("2001:db8::3", 5673)}
    url = f"postgresql://{LOGIN}@[2001:db8::1]:5433,[::1]/leadline?target_session_attrs=read-write"
    options = servers(url).options
    assert [(node["host"], node["port"]) for node in options] == [
        ("2001:db8::1", 5433),
        ("::1", 5432),
    ]


@pytest.mark.parametrize("hosts", ["one,two", "[2001:db8::1],[2001:db8::2]:26380"])
def test_a_password_may_have_any_character(hosts: str) -> None:
    for node in parameters(f"amqp://{LOGIN}@{hosts}/%2F"):
        assert (node.credentials.username, node.credentials.password) == ("leadline", PASSWORD)
    for options in servers(f"postgresql://{LOGIN}@{hosts}/leadline").options:
        assert (options["user"], options["password"]) == ("leadline", PASSWORD)
    quoted = quote(PASSWORD[::-1], safe="")
    url = f"redis+sentinel://{LOGIN}@{hosts}/main/3?sentinel_password={quoted}"
    client = connect(url)
    options = client.connection_pool.connection_kwargs
    assert options["credential_provider"].get_credentials() == ("leadline", PASSWORD)
    assert options["db"] == 3
    for sentinel_url in each_host(url):
        pool = sentinel._client(sentinel_url).connection_pool  # noqa: SLF001 - connects to no server
        sentinel_options = pool.connection_kwargs
        assert sentinel_options["password"] == PASSWORD[::-1]
        assert sentinel_options["port"] in {26379, 26380}


@pytest.mark.parametrize("hosts", ["one,two", "[2001:db8::1],[2001:db8::2]"])
def test_the_password_is_hidden_from_logs(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"redis+sentinel://{LOGIN}@{hosts}/main?sentinel_password=of-sentinels"
    monkeypatch.setenv("REDIS_URL", url)
    assert secrets.get("redis-url") == url
    assert {PASSWORD, quote(PASSWORD, safe=""), "of-sentinels"} <= set(secrets.confidential())


def test_programs_of_postgres_get_all_hosts_without_the_password() -> None:
    url = f"postgresql://{LOGIN}@[::1]:5433,two/leadline?target_session_attrs=read-write"
    visible = restore._without_password(url)  # noqa: SLF001 - pg_restore needs a database
    assert (
        visible == "postgresql://leadline@[::1]:5433,two/leadline?target_session_attrs=read-write"
    )


def test_each_host_is_checked_for_tls() -> None:
    process.forget(settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("LEADLINE_CLEARTEXT")
        cleartext.require_tls("rabbitmq", "amqp://u:p@[::1],localhost/")
        with pytest.raises(BadConfiguration):
            cleartext.require_tls("rabbitmq", "amqp://u:p@[::1],[2001:db8::2]/")


@pytest.mark.parametrize("url", ["amqp://u:p@one,,two/", "amqp://u:p@[::1],/", "amqp://u:p@[::1/"])
def test_an_empty_host_or_an_open_bracket_is_an_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"empty|Invalid"):
        each_host(url)


@pytest.mark.parametrize(
    "url", ["", "text", "name:read:key", "redis:///0", "amqp:", "//", "a//b,c"]
)
def test_text_without_several_hosts_is_split_as_urlsplit_does(url: str) -> None:
    assert with_first_host(url.partition(",")[0]) == urlsplit(url.partition(",")[0])
