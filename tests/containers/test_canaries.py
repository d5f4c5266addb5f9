"""An operator's secrets, given or left in the checkout, are in no image and no output of Docker."""

import gzip
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex
from typing import IO

import pytest

from local.shrinkwrap import shrinkwrap
from tests.containers.engine import (
    BUILT_WITHIN_S,
    STOPPED_WITHIN_S,
    UP_WITHIN_S,
    Compose,
    docker,
)
from tests.deploy.build_contexts import copy
from tests.deploy.stacks import STACK

pytestmark = pytest.mark.containers

#: Prefix of every planted secret.
MARK = f"canary{token_hex(8)}"
PLANTED = {
    "local/.env": f"BITRIX_WEBHOOK_URL=https://portal.example/rest/1/{MARK}webhook/\n",
    ".env": f"DATABASE_URL=postgresql://leadline:{MARK}@db/leadline\n",
    ".secrets/database-url": f"{MARK}secrets",
    ".local/passwords/postgres": f"{MARK}local",
    "functions/get_user/.env": f"{MARK}function",
    "functions/get_user/key.pem": f"{MARK}pem",
    "functions/get_user/.secrets/api-keys": f"{MARK}function",
    "deploy/processes/prod.env": f"{MARK}processes",
    "leadline/users.csv": f"{MARK}package",
    "emulator/portal.sqlite3": f"{MARK}state",
}
ENVIRONMENT = {
    "API_KEYS": f"{MARK}key-of-32-characters-or-more",
    "LEADLINE_AUTH": "on",
    "AMQP_URL": f"amqp://leadline:{MARK}@broker/",
    "OWNER": "leadline-canary",
}
#: The image of a function built from its build folder, as on a cluster, and not by compose.
BY_FOLDER = "leadline-canary/get-user:by-folder"
#: How many bytes of a layer are searched at a time.
_CHUNK = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's files with canaries planted among them."""
    root = tmp_path_factory.mktemp("checkout")
    copy(root)
    for name, content in PLANTED.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.fixture(scope="module")
def system(checkout: Path) -> Iterator[Compose]:
    """A system with every image built, every container created, and the one-shot ones finished."""
    system = Compose("leadline-canary", ENVIRONMENT, checkout)
    system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)
    system.build()
    try:
        system.run("up", "-d", "migrate", within_s=UP_WITHIN_S)
        system.run("wait", "migrate", within_s=UP_WITHIN_S)
        system.run("create", within_s=UP_WITHIN_S)
        yield system
    finally:
        system.run("down", "--volumes", within_s=STOPPED_WITHIN_S)


@pytest.fixture(scope="module")
def secrets(system: Compose) -> set[str]:
    """The texts that must not appear: the canaries' common prefix, and every generated password."""
    mounts = [f"--volume={system.project}_{name}:/{name}:ro" for name in ("secrets", "servers")]
    print_all = "tail -n +1 /secrets/* /servers/*"
    image = system.images()["worker"]
    words = ("run", "--rm", "--user=0", "--network=none", *mounts, image, "sh", "-c", print_all)
    values = set(re.findall(r"[\w-]{32,}", docker(*words)))
    assert {value for value in values if value.startswith(MARK)}, "the given secrets have arrived"
    return {MARK, *values}


@pytest.mark.slow("reads every byte of every image")
def test_no_layer_and_no_history_of_an_image_holds_a_secret(
    system: Compose, secrets: set[str], checkout: Path
) -> None:
    context = shrinkwrap(STACK, "get-user", checkout)
    docker("build", "--quiet", "--tag", BY_FOLDER, str(context), within_s=BUILT_WITHIN_S)
    ours = sorted({image for image in system.images().values() if "leadline-canary" in image})
    assert len(ours) > len(STACK.functions)
    saving = subprocess.Popen(["docker", "save", *ours, BY_FOLDER], stdout=subprocess.PIPE)  # noqa: S607 - found on the PATH
    with saving as saved:
        assert saved.stdout
        assert not _secrets_in(saved.stdout, secrets)
    assert saving.returncode == 0
    for image in (*ours, BY_FOLDER):
        output = docker("history", "--no-trunc", image) + docker("inspect", image)
        assert not {secret for secret in secrets if secret in output}, image


def test_docker_shows_no_secret_of_a_container(system: Compose, secrets: set[str]) -> None:
    label = f"label=com.docker.compose.project={system.project}"
    containers = docker("ps", "--all", "--quiet", "--filter", label).split()
    assert len(containers) > len(STACK.functions)
    output = docker("inspect", *containers)
    assert "leadline.runtime.postgres.migrate" in output, "the one-shot containers are among them"
    assert "local.passwords" in output
    output += "".join(system.run("logs", "--no-color").splitlines())
    assert not {secret for secret in secrets if secret in output}


def test_a_file_of_an_unknown_kind_stops_the_build(checkout: Path) -> None:
    context = shrinkwrap(STACK, "get-user", checkout)
    (context / "function/id_rsa").write_text(f"{MARK}key")
    with pytest.raises(AssertionError, match="function/id_rsa"):
        docker("build", str(context), within_s=BUILT_WITHIN_S)


def test_a_secret_in_a_layer_would_be_found(tmp_path: Path) -> None:
    layer = tmp_path / "layer.tar"
    # Across the border of two chunks.
    (tmp_path / "file").write_text("x" * (_CHUNK - 5) + MARK)
    with tarfile.open(layer, "w") as tar:
        tar.add(tmp_path / "file", "file")
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(layer.read_bytes()))
    for path in (layer, packed):
        image = tmp_path / "image.tar"
        with tarfile.open(image, "w") as tar:
            tar.add(path, "blob")
        with image.open("rb") as stream:
            assert _secrets_in(stream, {MARK}) == {MARK}


def _secrets_in(saved: IO[bytes], secrets: set[str]) -> set[str]:
    """The secrets in the output of `docker save`: layers (packed or not), history, settings."""
    found = set[str]()
    with tarfile.open(fileobj=saved, mode="r|") as image:
        for member in image:
            if member.isfile() and (blob := image.extractfile(member)):
                found |= _found_in(blob, secrets)
    return found


def _found_in(blob: IO[bytes], secrets: set[str]) -> set[str]:
    """The secrets in a blob, unpacked as a whole or read in chunks that overlap."""
    head = blob.read(_CHUNK)
    if head.startswith(_GZIP_MAGIC):
        content = gzip.decompress(head + blob.read())
        return {secret for secret in secrets if secret.encode() in content}
    longest = max(map(len, secrets))
    found, overlap = set[str](), b""
    while head:
        text = overlap + head
        found |= {secret for secret in secrets if secret.encode() in text}
        overlap, head = text[-longest:], blob.read(_CHUNK)
    return found
