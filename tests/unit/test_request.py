"""One request for many users."""

from collections import Counter

from leadline.sync import request
from tests.unit.entries import entry, owed

MOST = 50  # https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html


def test_a_batch_never_has_more_commands_than_bitrix24_takes() -> None:
    """Found by the laboratory: two commands to look one user up, beside 49 users to write."""
    written = [entry(owed(), user_id=number) for number in range(1, MOST)]
    doubtful = entry(owed(), user_id=MOST, hint=55)
    wanted = request.build([*written, doubtful])
    assert len(wanted.commands) == MOST
    served = Counter(wanted.serves(step) for step in wanted.steps)
    assert served == {True: MOST - 1, False: 1}
    assert wanted.serves(wanted.steps[-1])
