"""`numbering_plans.py`: write leadline/users/numbering_plans.json from the installed phonenumbers.

For each calling code: how many digits its national numbers have, and the pattern of the national
dialling prefix. A test compares the file with the library.
"""

import json
from pathlib import Path

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    region_code_for_country_code,
)

FILE = Path(__file__).parents[1] / "leadline" / "users" / "numbering_plans.json"


def text() -> str:
    """The file's text."""
    plans = {}
    for code in sorted(COUNTRY_CODE_TO_REGION_CODE):
        region = region_code_for_country_code(code)
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        if metadata is not None and metadata.general_desc is not None:
            lengths = list(metadata.general_desc.possible_length)
            plans[str(code)] = [lengths, metadata.national_prefix_for_parsing or ""]
    lines = (f"{json.dumps(code)}: {json.dumps(plan)}" for code, plan in plans.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
