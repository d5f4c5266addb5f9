"""scripts/secrets writes exactly the secrets that stack.yml names, readable by no one else."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from leadline.runtime.http import api_keys
from local.logins import table
from tests.deploy.stacks import STACK

CHECKOUT = Path(__file__).parents[2]
_DOCKERFILE = (CHECKOUT / "template/leadline/Dockerfile").read_text(encoding="utf-8")
IMAGES_USER = int(re.findall(r"(?m)^USER (\d+)", _DOCKERFILE)[0])
GIVEN = {
    "DATABASE_URL": "postgresql://one:p4ss@db/leadline",
    "AMQP_URL": "amqp://two:p4ss@mq/",
    "REDIS_URL": "redis://:p4ss@cache/0",
    "BITRIX_WEBHOOK_URL": "https://portal.example/rest/1/p4ss/",
}


def run(folder: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    scripts = folder / "scripts"
    scripts.mkdir(exist_ok=True)
    shutil.copy(CHECKOUT / "scripts/secrets", scripts)
    return subprocess.run(
        [scripts / "secrets", *words],
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
    )


def test_a_local_run_gets_the_secret_files_that_the_stack_names(tmp_path: Path) -> None:
    result = run(tmp_path, "files", API_KEYS="k3y", **GIVEN)
    assert result.returncode == 0, result.stderr
    stack_secrets = {secret for function in STACK.functions.values() for secret in function.secrets}
    files = {path.name: path.read_text() for path in (tmp_path / ".secrets").iterdir()}
    assert files.keys() == {*table.secrets(), "bitrix-webhook-url", "api-keys", "internal-key"}
    assert files.keys() >= stack_secrets
    assert files["redis-url-worker"] == GIVEN["REDIS_URL"]
    assert files["api-keys"] == "k3y"
    assert "p4ss" not in result.stdout + result.stderr
    assert "k3y" not in result.stdout + result.stderr


def test_other_users_cannot_read_the_files(tmp_path: Path) -> None:
    (tmp_path / ".secrets").mkdir(mode=0o755)
    (tmp_path / ".secrets/api-keys").write_text("from an earlier version")
    assert run(tmp_path, "files", API_KEYS="k3y", **GIVEN).returncode == 0
    for path in (tmp_path / ".secrets", *(tmp_path / ".secrets").iterdir()):
        assert path.stat().st_mode & stat.S_IRWXO == 0, path
        if os.geteuid() == 0:
            assert path.stat().st_uid == IMAGES_USER, path
            assert path.stat().st_mode & stat.S_IRWXG == 0, path


def test_missing_keys_are_generated(tmp_path: Path) -> None:
    result = run(tmp_path, "files", **GIVEN)
    assert result.returncode == 0, result.stderr
    generated = dict(re.findall(r"(?m)^([A-Z_]+_KEY)=(\S+)", result.stdout))
    files = {path.name: path.read_text() for path in (tmp_path / ".secrets").iterdir()}
    parsed_keys = [api_keys.parse(entry) for entry in api_keys.entries(files["api-keys"])]
    assert {key.name: key.scopes for key in parsed_keys} == {
        "client": {"write"},
        "operator": {"read", "operate"},
    }
    for key, sent in zip(
        parsed_keys, (generated["API_KEY"], generated["OPERATOR_KEY"]), strict=True
    ):
        assert key.digest == api_keys.digest_of(sent.encode())
        assert sent.startswith(key.prefix)
        assert api_keys.weakness(sent) == ""
        assert sent not in files["api-keys"]
    internal = files["internal-key"]
    assert api_keys.weakness(internal) == ""
    assert internal not in result.stdout + result.stderr + files["api-keys"]
    run(tmp_path, "files", **GIVEN)
    assert (tmp_path / ".secrets/internal-key").read_text() != internal


def test_missing_values_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    result = run(tmp_path, "files", DATABASE_URL=GIVEN["DATABASE_URL"])
    assert result.returncode == 1
    assert "AMQP_URL REDIS_URL BITRIX_WEBHOOK_URL" in result.stderr
    assert not (tmp_path / ".secrets").exists()


def test_each_login_gets_its_own_address_which_the_servers_know(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "local/logins", tmp_path / "local/logins")
    run(tmp_path)  # makes the folder of the scripts
    shutil.copy(CHECKOUT / "scripts/logins", tmp_path / "scripts")

    def logins() -> dict[str, str]:
        result = subprocess.run(
            [tmp_path / "scripts/logins"],
            check=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **GIVEN, "AMQP_URL": "amqps://two:p4ss@mq:5671/ours"},
            capture_output=True,
            text=True,
        )
        assert "://" not in result.stdout + result.stderr
        folder = tmp_path / ".local/logins"
        assert {path.stat().st_mode & 0o077 for path in (folder, *folder.iterdir())} == {0}
        return {path.name: path.read_text() for path in folder.iterdir()}

    files = logins()
    assert files.keys() >= {*table.secrets(), "postgres.sql", "rabbitmq.json", "redis.conf"}
    assert files["database-url-owner"] == GIVEN["DATABASE_URL"]
    # All but the first, the owner's URL, which is the given one.
    passwords = {urlsplit(files[name]).password or "" for name in table.secrets()[1:]}
    assert len(passwords) == len(table.secrets()) - 1
    writer = urlsplit(files["database-url-writer"])
    assert (writer.username, writer.hostname) == ("leadline_writer", "db")
    assert f"ALTER ROLE leadline_writer PASSWORD '{writer.password}'" in files["postgres.sql"]
    worker = urlsplit(files["amqp-url-worker"])
    assert (worker.scheme, worker.port, worker.path) == ("amqps", 5671, "/ours")
    definitions = json.loads(files["rabbitmq.json"])
    assert {permission["vhost"] for permission in definitions["permissions"]} == {"ours"}
    assert not any(user["tags"] for user in definitions["users"])
    objects = list(yaml.safe_load_all(files["rabbitmq-secrets.yaml"]))
    secrets = [secret["stringData"] for secret in objects]
    brokers = [urlsplit(files[name]) for name in table.secrets() if name.startswith("amqp-")]
    assert {secret["username"]: secret["password"] for secret in secrets} == {
        url.username: url.password for url in brokers
    }
    # Required by the operator's webhook: internal/webhook/v1beta1/label_validation.go of
    # https://github.com/rabbitmq/messaging-topology-operator.
    labels = [secret["metadata"]["labels"] for secret in objects]
    assert labels == [{"rabbitmq.com/topology-operator": "true"}] * len(objects)
    digest = hashlib.sha256((urlsplit(files["redis-url-worker"]).password or "").encode())
    assert f"user leadline_worker reset on #{digest.hexdigest()} " in files["redis.conf"]
    repeat = logins()
    assert {name: repeat[name] for name in table.secrets()} == {
        name: files[name] for name in table.secrets()
    }
    # The secrets are then those of each login.
    result = run(tmp_path, "files", API_KEYS="k3y", **GIVEN)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / ".secrets/redis-url-worker").read_text() == files["redis-url-worker"]
