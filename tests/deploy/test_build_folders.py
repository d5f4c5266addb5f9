"""Every function can be served from the build folder of its image, with only its own packages.

Without Docker: the folder is what the image contains, and packages that the function does not list
are hidden.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from leadline.runtime.postgres import migrate
from local.shrinkwrap import build_command, shrinkwrap
from tests.deploy.packages import hide_all_but, pinned_for
from tests.deploy.stacks import PROCESSES, STACK
from tests.servers import eventually, free_port

CHECKOUT = Path(__file__).parents[2]
UNREACHABLE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "AMQP_URL": "amqp://127.0.0.1:1/",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "BITRIX_WEBHOOK_URL": "http://127.0.0.1:1/rest/1/code/",
}


def start_python(context: Path, tmp_path: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    """Start Python as in the image of this build folder: its code, its packages, its variables."""
    pinned = pinned_for(context / "function/requirements.txt")
    hidden = hide_all_but(pinned, tmp_path / "hide")
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=context,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{hidden}:{context / 'function'}",
            "LEADLINE_AUTH": "off",
            **UNREACHABLE,
            **env,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The checkout as shrinkwrap sees it, with a separate build folder."""
    root = tmp_path / "root"
    root.mkdir()
    for folder in ("template", "functions", "deploy", "leadline", "migrations", "requirements"):
        (root / folder).symlink_to(CHECKOUT / folder)
    return root


@pytest.fixture
def port() -> int:
    return free_port()


def serves(process: subprocess.Popen[str], url: str) -> bool:
    assert process.poll() is None, process.communicate()[0]
    try:
        return requests.get(f"{url}/_/health", timeout=60).ok
    except requests.ConnectionError:
        return False


@pytest.mark.parametrize("name", STACK.functions)
def test_a_function_serves_from_its_build_folder_while_every_server_is_down(
    name: str, root: Path, tmp_path: Path, port: int
) -> None:
    context = shrinkwrap(STACK, name, root)
    target = STACK.functions[name].build_args["FUNCTION_TARGET"]
    serve = ("-m", "leadline.runtime.serving.serve", "function")
    process = start_python(context, tmp_path, *serve, PORT=str(port), FUNCTION_TARGET=target)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: serves(process, url), 60, f"{name} is served")
    finally:
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert f'"service":"{name}"' in output


def test_a_function_made_by_faas_cli_new_works(root: Path, tmp_path: Path, port: int) -> None:
    handler = tmp_path / "greeting"
    handler.mkdir()
    for file in (CHECKOUT / "template/leadline/function").iterdir():
        (handler / file.name).write_bytes(file.read_bytes())
    function = STACK.functions["get-user"].model_copy(update={"handler": str(handler)})
    extended = STACK.model_copy(update={"functions": {"greeting": function}})
    context = shrinkwrap(extended, "greeting", root)
    # `handle` is the Dockerfile's own FUNCTION_TARGET, without a build argument.
    serve = ("-m", "leadline.runtime.serving.serve", "function")
    process = start_python(context, tmp_path, *serve, PORT=str(port), FUNCTION_TARGET="handle")
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: serves(process, url), 60, "the function is served")
        assert requests.post(url, json={}, timeout=60).json() == {"message": "It works."}
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_all_processes_have_their_packages(root: Path, tmp_path: Path) -> None:
    context = shrinkwrap(PROCESSES, "processes", root)
    code = (
        "import leadline.sync.worker, leadline.connector.consumer;"
        "import leadline.runtime.postgres.migrate,"
        "leadline.cli.main, alembic.command, sqlalchemy;"
        "print(leadline.runtime.postgres.migrate.newest())"
    )
    process = start_python(context, tmp_path, "-c", code)
    output = process.communicate(timeout=60)[0]
    assert (process.returncode, output.strip()) == (0, migrate.newest()), output


def test_an_unlisted_package_is_missing(root: Path, tmp_path: Path) -> None:
    context = shrinkwrap(STACK, "create-user", root)
    process = start_python(context, tmp_path, "-c", "import rq")
    assert "ModuleNotFoundError" in process.communicate(timeout=60)[0]


@pytest.mark.parametrize(
    ("ignored", "folder"),
    [(".dockerignore", "leadline"), ("template/leadline/.dockerignore", "function")],
)
def test_a_build_context_has_every_file_of_the_package(ignored: str, folder: str) -> None:
    lines = (CHECKOUT / ignored).read_text().splitlines()
    package = (path for path in (CHECKOUT / "leadline").rglob("*.*") if path.is_file())
    suffixes = {path.suffix for path in package if path.parent.name != "__pycache__"}
    assert ".lua" in suffixes
    assert {f"!{folder}/**/*{suffix}" for suffix in suffixes} <= set(lines)


def test_the_folder_builds_with_plain_docker_build(root: Path) -> None:
    function = STACK.functions["create-user"]
    context = shrinkwrap(STACK, "create-user", root)
    assert build_command(function, context) == (
        "docker build -t ghcr.io/leadline/create-user:0.1.0"
        f" --build-arg FUNCTION_TARGET=create_user {context}"
    )
    arguments = set()
    for line in (context / "Dockerfile").read_text().splitlines():
        if line.startswith("ARG "):
            arguments.add(line.removeprefix("ARG ").partition("=")[0])
    assert function.build_args.keys() <= arguments


def test_a_second_build_leaves_nothing_of_the_first(root: Path) -> None:
    context = shrinkwrap(STACK, "create-user", root)
    (context / "function/stale.py").touch()
    shrinkwrap(STACK, "create-user", root)
    assert not (context / "function/stale.py").exists()
