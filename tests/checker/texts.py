"""P7: no personal data and no secret appears in any text that the system writes."""

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from tests.checker.history import History, Violation

#: Shorter secrets occur by chance in ids and words.
_SHORTEST = 6


def nothing_personal_or_secret_is_shown(history: History) -> Iterator[Violation]:
    """No log line, dead letter listing or metric has a name, phone, key, password or the webhook.

    Neither in plain form nor as JSON, URLs or Python would write it, and no phone without its plus.
    """
    forms = {
        form: secret
        for secret in history.secrets
        for form in _forms(secret)
        if len(form) >= _SHORTEST
    }
    if not forms:
        return
    longest_first = sorted(forms, key=len, reverse=True)
    leak = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
    for text in history.texts:
        if leak.search(text.line):
            yield Violation("secrets", "P7", f"{text.source}: {text.line[:500]}")


def _forms(secret: str) -> set[str]:
    plain = secret.lstrip("+") if secret.lstrip("+").isdigit() else secret
    return {
        plain,
        json.dumps(plain)[1:-1],
        json.dumps(plain, ensure_ascii=False)[1:-1],
        quote(plain),
        quote(plain, safe=""),
        quote_plus(plain),
        repr(plain)[1:-1],
        ascii(plain)[1:-1],
    }


RULES = (nothing_personal_or_secret_is_shown,)
