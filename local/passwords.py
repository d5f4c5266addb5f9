"""`python -m local.passwords`: create the secrets of a compose system at its first start.

Passwords are random and live as long as their volume. The operator's secrets, `bitrix-webhook-url`
(empty: the emulator) and `api-keys`, are read from files at each start, since `docker inspect`
shows every variable. Each server and each login has its own volume, mounted only in its containers;
only this program mounts the folder with all passwords.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe

from leadline.bitrix24.webhook_url import WebhookUrl
from leadline.errors import BadConfiguration
from leadline.runtime.secrets import DEFAULT_FOLDER
from local.logins import postgres, rabbitmq, redis
from local.logins.table import INTERNAL, KEYS, LOGINS, OWNER, URL_SECRETS, WEBHOOK
from local.runner.secrets import KEY_OWNER
from local.runner.servers.rabbitmq import message_max

#: Where a server's container mounts its folder.
SERVER_FOLDER = Path("/run/leadline")
#: Where docker compose mounts its configs.
CONFIGS = Path("/")
EMULATOR = "http://bitrix24:3024/rest/1/local-webhook-code/"
#: Scheme and location of the URL of each server, in the order of URL_SECRETS.
_SERVERS = {
    "postgres": ("postgresql", "postgres:5432/leadline"),
    "rabbitmq": ("amqp", "rabbitmq:5672/%2F"),
    "redis": ("redis", "redis:6379/0"),
}


@dataclass(frozen=True)
class Folders:
    """The folders to which the secrets are written."""

    #: All passwords, only for this program.
    passwords: Path = Path("/run/passwords")
    #: A folder for each server, with its files.
    servers: Path = Path("/run/servers")
    #: A folder for each login, with its secrets.
    logins: Path = Path("/run/logins")
    #: The secrets of all logins, for faas-cli.
    all_secrets: Path = Path(DEFAULT_FOLDER)


def prepare(folders: Folders, webhook: str, keys: str) -> None:
    """Write files that are missing or have changed; existing passwords stay."""
    password_folder, all_secrets = folders.passwords, folders.all_secrets
    owner_passwords = {
        server: _password(password_folder / f"{server}-password") for server in _SERVERS
    }
    login_passwords = {
        server: {
            login.name: _password(password_folder / f"{server}-{login.name}") for login in LOGINS
        }
        for server in _SERVERS
    }
    for server, files in _server_files(owner_passwords, login_passwords).items():
        for name, text in files.items():
            _write(folders.servers / server / name, text)
    other_secrets = {
        KEYS: keys or _password(all_secrets / KEYS, f"{KEY_OWNER}:"),
        INTERNAL: _password(all_secrets / INTERNAL),
        WEBHOOK: webhook or EMULATOR,
    }
    secrets_by_login = {
        "owner": {"database-url-owner": _url("postgres", OWNER, owner_passwords["postgres"])}
    }
    for login in LOGINS:
        secrets_by_login[login.name] = {name: other_secrets[name] for name in login.other_secrets}
        for server, secret in zip(_SERVERS, URL_SECRETS, strict=True):
            if secret in login.url_secrets:
                url = _url(server, login.user, login_passwords[server][login.name])
                secrets_by_login[login.name][login.secret(secret)] = url
    for login_name, login_secrets in secrets_by_login.items():
        for name, text in login_secrets.items():
            _write(folders.logins / login_name / name, text)
            _write(all_secrets / name, text)


def _server_files(
    owners: Mapping[str, str], logins: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """The files of each server, from its owner's password and those of its logins.

    The entry `logins` is for the service that creates the logins of Postgres.
    """
    broker = {
        "load_definitions": SERVER_FOLDER / "rabbitmq.json",
        "max_message_size": message_max(),
    }
    definitions = rabbitmq.definitions(logins["rabbitmq"], owner_password=owners["rabbitmq"])
    users = "".join(f"user {user}\n" for user in redis.users(logins["redis"]))
    return {
        "postgres": {"postgres-password": owners["postgres"]},
        "logins": {
            "postgres-password": owners["postgres"],
            "postgres.sql": postgres.script(logins["postgres"]),
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


def _url(server: str, user: str, password: str) -> str:
    scheme, location = _SERVERS[server]
    return f"{scheme}://{user}:{password}@{location}"


def config(name: str) -> str:
    """The operator's config of this name; empty if there is none."""
    return (CONFIGS / name).read_text("utf-8").strip()


def _password(path: Path, prefix: str = "") -> str:
    # An empty password counts as missing: it would let in clients without one.
    if not path.exists() or not path.read_text("utf-8").strip():
        _write(path, prefix + token_urlsafe(24))
    return path.read_text("utf-8")


def _write(path: Path, text: str) -> None:
    """Replace the file atomically: functions may read their secrets at any time."""
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    # The volume restricts access; servers and functions run as various users.
    new.chmod(0o444)
    new.replace(path)


def main() -> int:
    """Write the secrets; returns the exit code."""
    keys = config("api-keys")
    if keys and os.environ.get("LEADLINE_AUTH") == "off":
        sys.stderr.write("API_KEYS is set, but LEADLINE_AUTH=off requires no keys\n")
        return 1
    webhook = config("bitrix-webhook-url")
    if webhook:
        try:
            WebhookUrl.parse(webhook)
        except BadConfiguration as error:
            sys.stderr.write(f"{error}\n")
            return 1
    prepare(Folders(), webhook, keys)
    if os.environ.get("LEADLINE_AUTH") != "off" and not keys:
        sys.stdout.write(
            "callers need a key; this shows the generated one: docker compose -f"
            f" local/docker-compose.yml exec console cut -d: -f3 {DEFAULT_FOLDER}/{KEYS}\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
