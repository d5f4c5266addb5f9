"""`make demo` against a running system."""

import os
import subprocess
import sys

from tests.system import CHECKOUT, System


def test_the_demo_ends_with_a_lead_that_equals_the_user(system: System) -> None:
    result = subprocess.run(
        (sys.executable, "-m", "local.demo"),
        cwd=CHECKOUT,
        env={**os.environ, "LEADLINE_STATE": str(system.state.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "the lead equals the user" in result.stdout
    assert result.stdout.count("Bitrix24's answer is in the ledger") == 3
