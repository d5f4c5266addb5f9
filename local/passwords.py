"""`python -m local.passwords`: the secrets of a compose system, made at its first start.

Passwords are random and stay as they are while their volume lives. What is the operator's comes
at each start as files, for `docker inspect` shows every variable: `bitrix-webhook-url` (empty: the
emulator) and `api-keys`. The servers' files and the functions' secrets lie in two folders, so that
each sees its own only.
"""

import os
import sys
from pathlib import Path
from secrets import token_urlsafe

from leadline.bitrix24.webhook import Webhook
from leadline.runtime.errors import BadConfiguration
from leadline.runtime.secrets import DEFAULT_FOLDER
from local.runner.secrets import OWNER
from local.runner.servers.rabbitmq import message_max

SERVERS = Path("/run/leadline")
#: Where docker compose puts its configs.
GIVEN = Path("/")
EMULATOR = "http://bitrix24:3024/rest/1/local-webhook-code/"


def prepare(servers: Path, functions: Path, webhook: str, keys: str) -> None:
    """Write what is missing or has changed; the passwords stay."""
    postgres, rabbitmq, redis = (
        _kept(servers / f"{name}-password") for name in ("postgres", "rabbitmq", "redis")
    )
    broker = {
        "default_user": "leadline",
        "default_pass": rabbitmq,
        "max_message_size": message_max(),
    }
    _write(
        servers / "rabbitmq.conf",
        "".join(f"{name} = {value}\n" for name, value in broker.items()),
    )
    _write(servers / "redis.conf", f"requirepass {redis}\n")
    _write(functions / "database-url", f"postgresql://leadline:{postgres}@postgres:5432/leadline")
    _write(functions / "amqp-url", f"amqp://leadline:{rabbitmq}@rabbitmq:5672/%2F")
    _write(functions / "redis-url", f"redis://:{redis}@redis:6379/0")
    _write(functions / "bitrix-webhook-url", webhook or EMULATOR)
    if keys:
        _write(functions / "api-keys", keys)
    else:
        _kept(functions / "api-keys", f"{OWNER}:")
    _kept(functions / "internal-key")


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
    prepare(SERVERS, Path(DEFAULT_FOLDER), webhook, keys)
    if os.environ.get("LEADLINE_AUTH") != "off" and not keys:
        sys.stdout.write(
            f"callers send a key; the service edge has it in {DEFAULT_FOLDER}/api-keys\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
