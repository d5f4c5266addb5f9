"""The machine and software of a measurement."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from local.runner.processes.program import CHECKOUT
from local.runner.servers.postgres import binary

_PACKAGES = ("functions-framework", "granian", "pg8000", "pika", "redis", "rq", "pydantic")


def facts() -> dict[str, str]:
    """The machine, the versions and the commit."""
    memory = psutil.virtual_memory().total / 1024**3
    return {
        "machine": f"{os.cpu_count()} CPUs ({_processor()}), {memory:.0f} GiB",
        "system": f"{_distribution()}, Linux {platform.release()}",
        "python": platform.python_version(),
        "servers": ", ".join(
            (
                _output_of(binary("postgres"), "--version"),
                f"RabbitMQ {_package('rabbitmq-server')}",
                f"Redis {_package('redis-server')}",
                f"wrk {_package('wrk')}",
            )
        ),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "commit": _commit(),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _commit() -> str:
    paths = (".", ":!benchmarks/results", ":!benchmarks/RESULTS.md")  # without the run's output
    changed = _output_of("git", "status", "--porcelain", "--untracked-files=no", "--", *paths)
    return _output_of("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def _package(name: str) -> str:
    """The version of a Debian package; "?" if it was installed otherwise."""
    return _output_of("dpkg-query", "-W", "-f=${Version}", name) or "?"


def _output_of(*words: str) -> str:
    try:
        result = subprocess.run(  # noqa: S603
            words, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=10
        )
    except FileNotFoundError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
