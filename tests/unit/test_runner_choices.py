"""Invalid choices for a local run are reported before anything starts."""

import pytest

from local.runner import __main__ as runner


def test_a_local_run_rejects_an_invalid_webhook_and_does_not_quote_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*_: object) -> int:
        raise AssertionError("the run begins all the same")

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr("sys.argv", ["runner"])
    monkeypatch.setenv("BITRIX_WEBHOOK_URL", "https://portal.example/s3cr3tc0de")
    assert runner.main() == 1
    output = "".join(capsys.readouterr())
    assert "BITRIX_WEBHOOK_URL must look like" in output
    assert "s3cr3tc0de" not in output
