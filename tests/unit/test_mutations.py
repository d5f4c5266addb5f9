"""The lists in tests/mutations match the code."""

import re
import tomllib

import pytest

from tests.mutations import score, tree
from tests.mutations.table import MUTATIONS, Mutation

MUTMUT = tomllib.loads((tree.CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.mistake)
def test_a_mistake_changes_one_place_and_names_tests_that_exist(mutation: Mutation) -> None:
    text = (tree.CHECKOUT / mutation.file).read_text("utf-8")
    assert text.count(mutation.old) == 1
    assert mutation.new != mutation.old
    for test in mutation.tests:
        path, _, name = test.partition("::")
        function = re.escape(name.partition("[")[0])
        assert re.search(
            rf"^def {function}\(", (tree.CHECKOUT / path).read_text("utf-8"), re.MULTILINE
        )


def test_mutated_modules_and_their_tests_exist() -> None:
    for path in (*MUTMUT["only_mutate"], *MUTMUT["pytest_add_cli_args_test_selection"]):
        assert (tree.CHECKOUT / path).is_file()


def test_each_survivor_has_a_reason_and_a_mutated_module() -> None:
    survivors = tomllib.loads(score.SURVIVORS.read_text("utf-8"))["survivors"]
    for survivor in survivors:
        assert len(survivor["reason"]) > 20
        assert survivor["changes"]
        assert survivor["in"].partition(": ")[0] in MUTMUT["only_mutate"]
