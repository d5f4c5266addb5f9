"""A small CRM that has leads is adopted end to end, with lost answers and killed processes."""

from collections.abc import Callable
from pathlib import Path

from tests.faults.first_match import SETTINGS, Operator, Size, check_first_match
from tests.forks import Forks
from tests.system import System


def test_adopting_an_existing_crm_creates_no_duplicate(
    new_system: Callable[..., System], forks: Forks, tmp_path: Path
) -> None:
    system = new_system(**SETTINGS)
    system.start()
    size = Size(users=60, leads=70, matched=24, ambiguous=3)
    check_first_match(Operator(system, forks, tmp_path), size, lost_share=0.2, kills=True)
