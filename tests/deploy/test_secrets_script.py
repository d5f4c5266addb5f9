"""scripts/secrets hands over exactly what stack.yml names, and tells nobody else."""

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from leadline.runtime import api_keys
from local import stack

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


def test_files_for_local_run_are_those_that_the_stack_names(tmp_path: Path) -> None:
    done = run(tmp_path, "files", API_KEYS="k3y", **GIVEN)
    assert done.returncode == 0, done.stderr
    named = {
        secret
        for function in stack.read(CHECKOUT / "stack.yml", {}).functions.values()
        for secret in function.secrets
    }
    files = {path.name: path.read_text() for path in (tmp_path / ".secrets").iterdir()}
    assert files.keys() == named
    assert files["redis-url"] == GIVEN["REDIS_URL"]
    assert files["api-keys"] == "k3y"
    assert "p4ss" not in done.stdout + done.stderr
    assert "k3y" not in done.stdout + done.stderr


def test_no_other_user_reads_the_files(tmp_path: Path) -> None:
    (tmp_path / ".secrets").mkdir(mode=0o755)
    (tmp_path / ".secrets/api-keys").write_text("from an earlier version")
    assert run(tmp_path, "files", API_KEYS="k3y", **GIVEN).returncode == 0
    for path in (tmp_path / ".secrets", *(tmp_path / ".secrets").iterdir()):
        assert path.stat().st_mode & stat.S_IRWXO == 0, path
        if os.geteuid() == 0:
            assert path.stat().st_uid == IMAGES_USER, path
            assert path.stat().st_mode & stat.S_IRWXG == 0, path


def test_keys_are_made_where_none_are_given(tmp_path: Path) -> None:
    done = run(tmp_path, "files", **GIVEN)
    assert done.returncode == 0, done.stderr
    made = dict(re.findall(r"(?m)^([A-Z_]+_KEY)=(\S+)", done.stdout))
    files = {path.name: path.read_text() for path in (tmp_path / ".secrets").iterdir()}
    known = [api_keys.parse(entry) for entry in api_keys.entries(files["api-keys"])]
    assert {key.name: key.scopes for key in known} == {
        "client": {"write"},
        "operator": {"read", "operate"},
    }
    for key, sent in zip(known, (made["API_KEY"], made["OPERATOR_KEY"]), strict=True):
        assert key.digest == api_keys.digest_of(sent.encode())
        assert sent.startswith(key.prefix)
        assert api_keys.weakness(sent) == ""
        assert sent not in files["api-keys"]
    internal = files["internal-key"]
    assert api_keys.weakness(internal) == ""
    assert internal not in done.stdout + done.stderr + files["api-keys"]
    run(tmp_path, "files", **GIVEN)
    assert (tmp_path / ".secrets/internal-key").read_text() != internal


def test_what_is_missing_is_named_and_nothing_written(tmp_path: Path) -> None:
    done = run(tmp_path, "files", DATABASE_URL=GIVEN["DATABASE_URL"])
    assert done.returncode == 1
    assert "AMQP_URL REDIS_URL BITRIX_WEBHOOK_URL" in done.stderr
    assert not (tmp_path / ".secrets").exists()
