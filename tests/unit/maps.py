"""Field maps for tests."""

from pathlib import Path

from leadline import process
from leadline.mapping import current
from tests.unit.conftest import Configure

EXAMPLE = """
[fields.email]
type = "email"
lead = "EMAIL"

[fields.city]
type = "text"
lead = "UF_CRM_CITY"
max_length = 40

[fields.source]
type = "one-of"
values = { site = "WEB", call = "CALL" }
lead = "SOURCE_ID"
default = "site"

[fields.budget]
type = "number"
lead = "OPPORTUNITY"
min = 0

[fields.vip]
type = "bool"
lead = "UF_CRM_VIP"

[fields.born]
type = "date"
lead = "BIRTHDATE"

[fields.note]
type = "text"
lead = "COMMENTS"
owner = "crm"
multiline = true
max_length = 500

[constants]
ASSIGNED_BY_ID = 7
OPENED = true
"""


def use(configure: Configure, folder: Path, text: str = EXAMPLE) -> Path:
    """Write this map to a file, and configure the process to use it."""
    path = folder / "leadline.toml"
    path.write_text(text, encoding="utf-8")
    configure(mapping=str(path))
    process.forget(current._map_file)  # noqa: SLF001 - as a new process has it
    return path
