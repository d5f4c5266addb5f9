"""Each image as a strict platform runs it: any user, nothing writable, little memory."""

import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.containers.engine import Compose, docker, inspect
from tests.deploy.stacks import STACK
from tests.servers import eventually

pytestmark = pytest.mark.containers

FUNCTIONS = STACK.functions
BASE = "python:3.13-slim"
MIB = 1024 * 1024
#: A probe that takes longer does more than to answer.
PROBE_S = 0.05
#: After how many seconds Docker kills a container that has not stopped.
KILLED_AFTER_S = 30
#: Prints the time of the fastest of 20 answers, in seconds.
_PROBE = """
import sys, time, urllib.request

def answer_s():
    started = time.perf_counter()
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}{sys.argv[2]}", timeout=5).read()
    return time.perf_counter() - started

print(min(answer_s() for _ in range(20)))
"""
#: Prints the memory of the container in bytes, by cgroup v2 or v1: one of the files is missing.
_USAGE = "cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory/memory.usage_in_bytes 2>&-; true"


def probe(container: str, path: str, port: str = "8080") -> float:
    """Seconds until the answer, without other load; fails if no answer comes."""
    return float(docker("exec", container, "python", "-c", _PROBE, port, path))


def is_ready(container: str, port: str = "8080") -> bool:
    try:
        probe(container, "/_/ready", port)
    except AssertionError:
        return False
    return True


def start(image: str, *words: str) -> str:
    """A container as OpenFaaS with a read-only root runs it, but without its /tmp."""
    return docker(
        *("run", "--detach", "--read-only", "--user=12000", "--memory=128m", "--network=none"),
        *("--cap-drop=ALL", "--security-opt=no-new-privileges", "--env=LEADLINE_AUTH=off"),
        *(*words, image),
    )


@pytest.fixture(scope="module")
def containers(compose: Compose) -> Iterator[dict[str, str]]:
    """A container of every function."""
    images = compose.images()
    running = {name: start(images[name]) for name in FUNCTIONS}
    yield running
    docker("rm", "--force", *running.values())


@pytest.mark.slow("starts a container of each function")
def test_every_function_serves_probes_without_rights_and_disk(
    containers: dict[str, str],
) -> None:
    for name, container in containers.items():
        eventually(lambda container=container: is_ready(container), 120, f"{name} is ready")  # type: ignore[misc]
        assert probe(container, "/_/health") < PROBE_S, name


@pytest.mark.slow("asks the engine about the containers of all functions")
def test_an_idle_function_takes_less_than_100_mib(
    containers: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    for name, container in containers.items():
        eventually(lambda container=container: is_ready(container), 120, f"{name} is ready")  # type: ignore[misc]
        used = int(docker("exec", container, "sh", "-c", _USAGE).split()[0])
        record_property(f"memory of {name}", f"{used / MIB:.0f} MiB")
        assert used < 100 * MIB, f"{name} takes {used / MIB:.0f} MiB"


def test_the_server_is_pid_1_and_ends_with_0(containers: dict[str, str]) -> None:
    for name, container in containers.items():
        first = docker("exec", container, "cat", "/proc/1/cmdline")
        assert first.startswith("python\0-m\0leadline.runtime.serving.serve"), name
    started = time.monotonic()
    docker("stop", "--time", str(KILLED_AFTER_S), *containers.values())  # all at once
    assert time.monotonic() - started < KILLED_AFTER_S, "one had to be killed"
    for name, container in containers.items():
        assert inspect(container)["State"]["ExitCode"] == 0, name


def test_the_platform_chooses_the_port(compose: Compose) -> None:
    container = start(compose.images()["get-user"], "--env=PORT=9191")
    try:
        eventually(lambda: is_ready(container, "9191"), 120, "it serves on PORT")
    finally:
        docker("rm", "--force", container)


def test_an_image_adds_less_than_200_mib_to_python(
    compose: Compose, record_property: Callable[[str, object], None]
) -> None:
    base = inspect(BASE)["Size"]
    for image in sorted({image for image in compose.images().values() if "leadline" in image}):
        added = (inspect(image)["Size"] - base) / MIB
        record_property(f"image {image} above its base", f"{added:.0f} MiB")
        assert added < 200, f"{image} adds {added:.0f} MiB"


def test_an_image_runs_as_a_numeric_user_and_has_labels(compose: Compose) -> None:
    images = compose.images()
    for name in (*FUNCTIONS, "worker", "edge"):
        config = inspect(images[name])["Config"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), name
        assert config["Labels"]["org.opencontainers.image.version"]
        assert "8080/tcp" in config["ExposedPorts"]


def test_an_image_holds_bytecode_and_only_its_own_packages(compose: Compose) -> None:
    script = """
import importlib.util, json.decoder, pathlib
import leadline.runtime.http.endpoint

for module in (json.decoder, leadline.runtime.http.endpoint):
    assert pathlib.Path(module.__cached__).exists(), module
for package in ("rq", "redis", "requests", "pytest"):
    assert importlib.util.find_spec(package) is None, package
"""
    command = ("run", "--rm", "--read-only", "--network=none")
    docker(*command, compose.images()["create-user"], "python", "-c", script)
