"""The figures in the READMEs are the recorded ones."""

from pathlib import Path

import pytest

from benchmarks.report import readme, record
from benchmarks.report.readme import LANGUAGES, Language

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "benchmarks" / record.RESULTS


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.readme)
def test_a_readme_has_the_recorded_figures(language: Language) -> None:
    text = (ROOT / language.readme).read_text(encoding="utf-8")
    assert readme.with_figures(text, language, record.read(RECORDED)) == text


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.readme)
def test_a_readme_follows_the_record(language: Language) -> None:
    text = f"| | {language.median} |\n|---|---|\n| old | 1 |\n\nThe end.\n"
    data = {"users": 12_000, "took_s": 1_234.4, "ideal_s": 75.5}
    found = readme.with_figures(text, language, {"drain": {"data": data}})
    row = {
        "README.md": "| 12,000 waiting users at the portal's standard limits"
        " | 1,234 s; the ideal is 75.5 s |",
        "README.ru.md": "| 12 000 ждущих пользователей при стандартных лимитах портала"
        " | 1234 с; идеал — 75,5 с |",
    }[language.readme]
    assert found == f"| | {language.median} |\n|---|---|\n{row}\n\nThe end.\n"
