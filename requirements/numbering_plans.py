"""`numbering_plans.py`: write leadline/users/numbering_plans.py from the installed phonenumbers.

For each calling code: how many digits its national numbers have, and the pattern of the national
dialling prefix. A test compares the file with the library.
"""

from pathlib import Path

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    region_code_for_country_code,
)

FILE = Path(__file__).parents[1] / "leadline" / "users" / "numbering_plans.py"
_LINE_LENGTH = 100
_HEAD = '''\
"""Numbering plans, a copy of those in phonenumbers; requirements/numbering_plans.py writes it."""

#: Of each calling code: the possible lengths of national numbers, and the pattern of the national
#: dialling prefix, "" if there is none.
PLANS: dict[str, tuple[tuple[int, ...], str]] = {
'''


def text() -> str:
    """The file's text."""
    lines = []
    for code in sorted(COUNTRY_CODE_TO_REGION_CODE):
        region = region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        if metadata is not None and metadata.general_desc is not None:
            lengths = tuple(metadata.general_desc.possible_length)
            prefix = (metadata.national_prefix_for_parsing or "").replace("\\", "\\\\")
            line = f'    "{code}": ({lengths}, "{prefix}"),\n'
            if len(line) > _LINE_LENGTH:  # as `ruff format` has it
                line = f'    "{code}": (\n        {lengths},\n        "{prefix}",\n    ),\n'
            lines.append(line)
    return f"{_HEAD}{''.join(lines)}}}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
