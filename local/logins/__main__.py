"""`scripts/logins`: scripts that create the logins on existing servers, and the logins' URLs.

`DATABASE_URL`, `AMQP_URL` and `REDIS_URL` are those of the servers' administrators. It connects to
nothing: the files in `.local/logins` are the scripts that an administrator runs, and the secrets of
each login, for `scripts/secrets`. Passwords are generated once; running it again keeps them.
"""

import json
import os
import sys
from pathlib import Path
from secrets import token_urlsafe
from urllib.parse import SplitResult, unquote, urlsplit

from local.logins import postgres, rabbitmq, redis
from local.logins.table import LOGINS, URL_SECRETS, Login

FOLDER = Path(".local/logins")


def main() -> int:
    """Write the scripts and secrets; returns the exit code."""
    unset = [name for name in URL_SECRETS.values() if not os.environ.get(name)]
    if unset:
        sys.stderr.write(f"scripts/logins: please set {' '.join(unset)}\n")
        return 1
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    FOLDER.chmod(0o700)
    urls = {secret: urlsplit(os.environ[name]) for secret, name in URL_SECRETS.items()}
    passwords = {secret: _prepare(secret, url) for secret, url in urls.items()}
    _write("database-url-owner", urls["database-url"].geturl())
    _write("postgres.sql", postgres.script(passwords["database-url"]))
    definitions = rabbitmq.definitions(
        passwords["amqp-url"],
        vhost=unquote(urls["amqp-url"].path[1:]) or "/",
        reply_queues=os.environ.get("LEADLINE_REPLY_QUEUES", ""),
    )
    _write("rabbitmq.json", json.dumps(definitions, indent=1))
    _write("rabbitmq-secrets.yaml", rabbitmq.credential_secrets(passwords["amqp-url"]))
    users = [*redis.users(passwords["redis-url"])]
    _write("redis.conf", "".join(f"user {user}\n" for user in users))
    _write("redis.commands", "".join(f"ACL SETUSER {user}\n" for user in users))
    files = "postgres.sql, rabbitmq.json, rabbitmq-secrets.yaml, redis.conf, redis.commands"
    sys.stdout.write(f"· {FOLDER}: {files}\n")
    return 0


def _prepare(secret: str, server: SplitResult) -> dict[str, str]:
    """Write the addresses of this server; returns the passwords by login."""
    logins = [login for login in LOGINS if secret in login.url_secrets]
    passwords = {login.name: _password(login.secret(secret)) for login in logins}
    for login in logins:
        _write(login.secret(secret), _address(server, login, passwords[login.name]))
    return passwords


def _password(secret: str) -> str:
    """The password in the secret, else a new one."""
    file = FOLDER / secret
    if file.exists() and (password := urlsplit(file.read_text("utf-8")).password):
        return password
    return token_urlsafe(24)


def _address(server: SplitResult, login: Login, password: str) -> str:
    host = server.netloc.rpartition("@")[2]
    return server._replace(netloc=f"{login.user}:{password}@{host}").geturl()


def _write(name: str, text: str) -> None:
    path = FOLDER / name
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
