"""The options of `local/.env`, which docker compose reads, too."""

import os
from collections.abc import MutableMapping
from pathlib import Path

from dotenv import dotenv_values

from local.runner.processes.program import CHECKOUT

#: `LEADLINE_ENV_FILE` names another one; empty: none.
DEFAULT = CHECKOUT / "local/.env"
#: Where compose mounts the folder of field maps, and which folder it is.
MAPPING_MOUNT = "/etc/leadline/"
MAPPING_FOLDER = "./mapping"


def load(environment: MutableMapping[str, str] = os.environ) -> tuple[Path, list[str]] | None:
    """Add the variables of the file, except those that are set already.

    Returns the file and the names of the added variables; None without a file.
    """
    file = Path(environment.get("LEADLINE_ENV_FILE", str(DEFAULT)))
    if not file.is_file():
        return None
    in_file = {name: value for name, value in dotenv_values(file).items() if value}
    mapping = in_file.get("LEADLINE_MAPPING", "")
    if mapping.startswith(MAPPING_MOUNT):
        folder = file.parent / in_file.get("LEADLINE_MAPPING_FOLDER", MAPPING_FOLDER)
        in_file["LEADLINE_MAPPING"] = str(folder / mapping.removeprefix(MAPPING_MOUNT))
    added = {name: value for name, value in in_file.items() if name not in environment}
    environment.update(added)
    return file, sorted(added)
