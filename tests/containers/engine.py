"""Runs Docker for the tests: the whole compose system, and single containers of its images."""

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
#: The first run builds every layer.
BUILT_WITHIN_S = 900
UP_WITHIN_S = 420
STOPPED_WITHIN_S = 240


def docker(*words: str, within_s: float = 60) -> str:
    """The output of the command; its errors fail the test."""
    result = subprocess.run(
        ["docker", *words],  # noqa: S607 - found on the PATH
        check=False,
        capture_output=True,
        text=True,
        timeout=within_s,
    )
    assert result.returncode == 0, f"docker {' '.join(words)}: {result.stdout}{result.stderr}"
    return result.stdout.strip()


def inspect(name: str) -> Any:
    """The output of `docker inspect` for a container or an image."""
    return json.loads(docker("inspect", name))[0]


@dataclass(frozen=True)
class Compose:
    """The whole system as a separate compose project with its own ports."""

    project: str
    env: dict[str, str]
    checkout: Path = CHECKOUT

    @property
    def edge(self) -> str:
        return f"http://127.0.0.1:{self.env['PORT']}"

    @property
    def portal(self) -> str:
        return f"http://127.0.0.1:{self.env['BITRIX_PORT']}"

    def run(self, *words: str, within_s: float = 120) -> str:
        """The output of `docker compose …` on this project."""
        return self.run_binary(*words, within_s=within_s).decode().strip()

    def run_binary(self, *words: str, within_s: float = 120) -> bytes:
        """The same as bytes, for output that is not text."""
        file = str(self.checkout / "local/docker-compose.yml")
        command = ("docker", "compose", "-p", self.project, "-f", file, *words)
        result = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=within_s,
            env={**os.environ, **self.env},
        )
        assert result.returncode == 0, f"{' '.join(words)}: {result.stderr[-3000:].decode()}"
        return result.stdout

    def build(self) -> None:
        """Build the images; systems that build at the same time find the layers of the first."""
        with Path(__file__).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run("build", within_s=BUILT_WITHIN_S)

    def up(self, *words: str) -> None:
        """Start everything and wait until it is healthy."""
        self.run("up", "-d", "--wait", *words, within_s=UP_WITHIN_S)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers, running or not."""
        return self.run("ps", "--all", "--quiet", service).split()

    def images(self) -> dict[str, str]:
        """The image of each service."""
        services = json.loads(self.run("config", "--format", "json"))["services"]
        return {name: str(service["image"]) for name, service in services.items()}

    def left_over(self) -> list[str]:
        """Containers, volumes and networks that belong to this project."""
        label = f"label=com.docker.compose.project={self.project}"
        lists = (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
        return [
            line
            for words in lists
            for line in docker(*words, "--quiet", "--filter", label).splitlines()
        ]


def kill_9(container: str, helper_image: str) -> None:
    """Kill a container's first process; the engine then restarts it, as after a crash.

    `docker kill` would count as requested by a person. The signal comes from another container, of
    `helper_image`, in the machine's own process namespace: the tests need no root.
    """
    pid = int(inspect(container)["State"]["Pid"])
    assert pid
    docker(
        *("run", "--rm", "--pid=host", "--user=0:0", "--network=none", helper_image),
        *("python", "-c", f"import os; os.kill({pid}, 9)"),
    )
