"""`make run` reads the same options file as docker compose, local/.env."""

from pathlib import Path

import pytest

from local.runner import env_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / ".env"
    path.write_text(
        "# a comment\nBITRIX_WEBHOOK_URL='https://p.bitrix24.com/rest/1/c0de/'\nPORT=3001\nWORKERS=\n",
        encoding="utf-8",
    )
    return path


def test_the_environment_wins_over_the_file(file: Path) -> None:
    environment = {"LEADLINE_ENV_FILE": str(file), "PORT": "4000"}
    assert env_file.load(environment) == (file, ["BITRIX_WEBHOOK_URL"])
    assert environment["PORT"] == "4000"
    assert environment["BITRIX_WEBHOOK_URL"] == "https://p.bitrix24.com/rest/1/c0de/"
    assert "WORKERS" not in environment


@pytest.mark.parametrize(
    ("folder", "found"),
    [
        ("", "mapping/leadline.toml"),
        ("./maps", "maps/leadline.toml"),
        ("/maps", "/maps/leadline.toml"),
    ],
)
def test_a_field_map_is_where_compose_mounts_it_from(
    folder: str, found: str, tmp_path: Path
) -> None:
    path = tmp_path / ".env"
    lines = ["LEADLINE_MAPPING=/etc/leadline/leadline.toml", f"LEADLINE_MAPPING_FOLDER={folder}"]
    path.write_text("\n".join(lines), encoding="utf-8")
    environment = {"LEADLINE_ENV_FILE": str(path)}
    env_file.load(environment)
    assert Path(environment["LEADLINE_MAPPING"]) == tmp_path / found


def test_another_path_of_a_field_map_stays(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("LEADLINE_MAPPING=/srv/leadline.toml", encoding="utf-8")
    environment = {"LEADLINE_ENV_FILE": str(path)}
    env_file.load(environment)
    assert environment["LEADLINE_MAPPING"] == "/srv/leadline.toml"


def test_the_folder_of_field_maps_is_mounted_where_docker_compose_mounts_it() -> None:
    text = env_file.DEFAULT.parent.joinpath("docker-compose.yml").read_text(encoding="utf-8")
    mount = env_file.MAPPING_MOUNT.rstrip("/")
    assert f"${{LEADLINE_MAPPING_FOLDER:-{env_file.MAPPING_FOLDER}}}:{mount}:ro" in text


@pytest.mark.parametrize("name", ["", "no such file"])
def test_without_a_file_nothing_changes(name: str, tmp_path: Path) -> None:
    environment = {"LEADLINE_ENV_FILE": str(tmp_path / name) if name else ""}
    before = dict(environment)
    assert env_file.load(environment) is None
    assert environment == before


def test_the_default_environment_file_is_the_one_of_docker_compose() -> None:
    """Compose reads the `.env` next to its file."""
    assert env_file.DEFAULT.parent.joinpath("docker-compose.yml").is_file()
