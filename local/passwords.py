"""`python -m local.passwords`: the secrets of a compose system, made at its first start.

Passwords are random and stay as they are while their volume lives. What is the operator's comes
at each start as files, for `docker inspect` shows every variable: `bitrix-webhook-url` (empty: the
emulator) and `api-keys`. Each server and each login has a folder of its own, a volume that only its
containers mount; the folder with all passwords is for this program alone.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from leadline.bitrix24.webhook import Webhook
from leadline.errors import BadConfiguration
from leadline.runtime.secrets import DEFAULT_FOLDER
from local.logins import postgres, rabbitmq, redis
from local.logins.table import ADDRESSES, INTERNAL, KEYS, LOGINS, OWNER, WEBHOOK
from local.runner.secrets import KEY_OWNER
from local.runner.servers.rabbitmq import message_max

#: Where a server's container has the folder that is its own.
SERVERS_OWN = Path("/run/leadline")
#: Where docker compose puts its configs.
GIVEN = Path("/")
EMULATOR = "http://bitrix24:3024/rest/1/local-webhook-code/"
#: In the order of ADDRESSES.
_SERVERS = {
    "postgres": ("postgresql", "postgres:5432/leadline"),
    "rabbitmq": ("amqp", "rabbitmq:5672/%2F"),
    "redis": ("redis", "redis:6379/0"),
}


@dataclass(frozen=True)
class Folders:
    """Where the files go."""

    #: Every password, for this program alone.
    kept: Path = Path("/run/passwords")
    #: A folder for each server, with its own files.
    servers: Path = Path("/run/servers")
    #: A folder for each login, with its own secrets.
    logins: Path = Path("/run/logins")
    #: The secrets of all logins, for faas-cli.
    all_of_them: Path = Path(DEFAULT_FOLDER)


def prepare(folders: Folders, webhook: str, keys: str) -> None:
    """Write what is missing or has changed; the passwords stay."""
    kept, all_of_them = folders.kept, folders.all_of_them
    owners = {server: _kept(kept / f"{server}-password") for server in _SERVERS}
    passwords = {
        server: {login.name: _kept(kept / f"{server}-{login.name}") for login in LOGINS}
        for server in _SERVERS
    }
    for server, files in _server_files(owners, passwords).items():
        for name, text in files.items():
            _write(folders.servers / server / name, text)
    others = {
        KEYS: keys or _kept(all_of_them / KEYS, f"{KEY_OWNER}:"),
        INTERNAL: _kept(all_of_them / INTERNAL),
        WEBHOOK: webhook or EMULATOR,
    }
    found = {"owner": {"database-url-owner": _address("postgres", OWNER, owners["postgres"])}}
    for login in LOGINS:
        found[login.name] = {name: others[name] for name in login.others}
        for server, secret in zip(_SERVERS, ADDRESSES, strict=True):
            if secret in login.addresses:
                address = _address(server, login.user, passwords[server][login.name])
                found[login.name][login.secret(secret)] = address
    for login_name, its_secrets in found.items():
        for name, text in its_secrets.items():
            _write(folders.logins / login_name / name, text)
            _write(all_of_them / name, text)


def _server_files(
    owners: Mapping[str, str], passwords: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """What each server reads; `logins` is who makes the logins of Postgres."""
    broker = {"load_definitions": SERVERS_OWN / "rabbitmq.json", "max_message_size": message_max()}
    definitions = rabbitmq.definitions(passwords["rabbitmq"], owner_password=owners["rabbitmq"])
    users = "".join(f"user {user}\n" for user in redis.users(passwords["redis"]))
    return {
        "postgres": {"postgres-password": owners["postgres"]},
        "logins": {
            "postgres-password": owners["postgres"],
            "postgres.sql": postgres.script(passwords["postgres"]),
        },
        "rabbitmq": {
            "rabbitmq-password": owners["rabbitmq"],
            "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in broker.items()),
            "rabbitmq.json": json.dumps(definitions),
        },
        "redis": {
            "redis-password": owners["redis"],
            "redis.conf": f"requirepass {owners['redis']}\n{users}",
        },
    }


def _address(server: str, user: str, password: str) -> str:
    scheme, place = _SERVERS[server]
    return f"{scheme}://{user}:{password}@{place}"


def given(name: str) -> str:
    """What the operator has given under this name; empty if nothing."""
    return (GIVEN / name).read_text("utf-8").strip()


def _kept(path: Path, before: str = "") -> str:
    # An empty one is none: whoever sends no password would be let in.
    if not path.exists() or not path.read_text("utf-8").strip():
        _write(path, before + token_urlsafe(24))
    return path.read_text("utf-8")


def _write(path: Path, text: str) -> None:
    """Replace the file whole: functions read their secrets at any moment."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    # The volume is the fence; servers and functions run as users of their own choice.
    new.chmod(0o444)
    new.replace(path)


def main() -> int:
    """The exit code."""
    keys = given("api-keys")
    if keys and os.environ.get("LEADLINE_AUTH") == "off":
        sys.stderr.write("API_KEYS are given, but LEADLINE_AUTH=off asks for none\n")
        return 1
    webhook = given("bitrix-webhook-url")
    if webhook:
        try:
            Webhook.parse(webhook)
        except BadConfiguration as error:
            sys.stderr.write(f"{error}\n")
            return 1
    prepare(Folders(), webhook, keys)
    if os.environ.get("LEADLINE_AUTH") != "off" and not keys:
        sys.stdout.write(
            f"callers send a key; the service console has it in {DEFAULT_FOLDER}/api-keys\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
