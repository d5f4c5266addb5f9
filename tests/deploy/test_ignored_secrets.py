"""Secrets of an installation get neither into a commit nor into an image."""

import subprocess
from pathlib import Path

import pytest

from local.shrinkwrap import shrinkwrap
from tests.deploy.build_contexts import copy, files_sent, tracked_files
from tests.deploy.stacks import STACK

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [".env", ".env.local", ".env.bak"])
@pytest.mark.parametrize("folder", ["", "local", "functions/create_user", "deploy/processes"])
def test_git_ignores_environment_files_at_every_level(folder: str, name: str) -> None:
    path = str(Path(folder) / name)
    ignored = subprocess.run(["git", "check-ignore", path], cwd=CHECKOUT, check=False)  # noqa: S607 - found on the PATH
    assert ignored.returncode == 0, path


def test_the_example_of_an_environment_file_is_committed() -> None:
    path = "local/.env.example"
    ignored = subprocess.run(["git", "check-ignore", path], cwd=CHECKOUT, check=False)  # noqa: S607 - found on the PATH
    assert ignored.returncode == 1


#: Files that people leave in a folder: secrets, dumps, lists of customers.
STRAY = (
    ".env",
    ".env.local",
    ".env.py",
    ".secrets/api-keys",
    ".secrets/keys.py",
    ".local/passwords/postgres",
    ".ssh/known.py",
    "prod.env",
    "webhook.txt",
    "key.pem",
    "secrets.json",
    "settings.yml",
    "leadline.dump",
    "users.sql",
    "users.csv",
    "state.sqlite3",
    "docker-compose.override.yml",
    "nohup.out",
)
#: Files that an operator copies, or that package the emulator.
_NOT_IN_AN_IMAGE = {
    *("emulator/README.md", "emulator/pyproject.toml", "local/leadline.example.toml"),
    "local/mapping/.gitignore",
}
#: The folders of which images get files.
TREES = ("leadline", "migrations", "functions", "emulator", "local")
#: Files of docker compose itself, which no image needs.
_ONLY_FOR_COMPOSE = {
    path
    for path in tracked_files()
    if path.startswith("local/") and path.endswith((".yml", ".env", ".env.example"))
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the repository, and next to each of them all kinds of stray files."""
    root = tmp_path_factory.mktemp("checkout")
    copy(root)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        for name in STRAY:
            stray = folder / name
            stray.parent.mkdir(parents=True, exist_ok=True)
            if not stray.exists():
                stray.write_text("canary")
    return root


def _is_stray(path: Path) -> bool:
    return path.read_bytes() == b"canary"


def test_compose_sends_the_files_that_images_need_and_no_stray_ones(checkout: Path) -> None:
    ours = files_sent(checkout, checkout / ".dockerignore")
    assert not [path for path in ours if _is_stray(checkout / path)]
    needed = {
        path for path in tracked_files() if path.startswith(tuple(f"{tree}/" for tree in TREES))
    }
    assert ours >= needed - _ONLY_FOR_COMPOSE - _NOT_IN_AN_IMAGE
    outside = {path for path in ours if not path.startswith(tuple(f"{tree}/" for tree in TREES))}
    copied = {path for path in STACK.configuration.copied if path.startswith("requirements/")}
    single_files = {"deploy/processes/requirements.txt", "template/leadline/Dockerfile"}
    assert outside == copied | single_files


@pytest.mark.parametrize("name", STACK.functions)
def test_a_build_folder_sends_the_files_that_the_image_needs_and_no_stray_ones(
    checkout: Path, name: str
) -> None:
    context = shrinkwrap(STACK, name, checkout)
    ours = files_sent(context, context / ".dockerignore")
    assert not [path for path in ours if _is_stray(context / path)]
    folders = (STACK.functions[name].handler.removeprefix("./"), "leadline", "migrations")
    for folder in folders:
        for path in (path for path in tracked_files() if path.startswith(f"{folder}/")):
            inside = path.removeprefix(f"{folder}/") if folder == folders[0] else path
            assert f"function/{inside}" in ours
