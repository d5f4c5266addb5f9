"""Histories under virtual time: none breaks a rule, and reintroduced mistakes are detected."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from tests.simulation import bugs, parallel, play
from tests.simulation.shrinking import kinds
from tests.simulation.traces import traces

#: As many as continuous integration can afford; `make simulate` plays more.
SEEDS = range(1, 501)
#: Enough seeds to detect any one reintroduced mistake. Tests of a mistake begin with the first seed
#: that is known to detect it.
ENOUGH = 2000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated Postgres cluster, of which each player uses a copy."""
    target = tmp_path_factory.mktemp("simulation") / "cluster"
    with _processes(1) as pool:
        pool.submit(play.save_cluster, target).result()
    return target


@pytest.fixture(autouse=True)
def _as_all_players(monkeypatch: pytest.MonkeyPatch, cluster: Path) -> None:
    """Let all processes that play order sets of strings alike and begin with the same cluster."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setenv(play.CLUSTER, str(cluster))


@pytest.fixture
def pool_of_players() -> Iterator[ProcessPoolExecutor]:
    with _processes(2) as pool:
        yield pool


@pytest.mark.slow("plays 500 histories")
def test_no_history_breaks_a_rule() -> None:
    failed = parallel.play(SEEDS)
    assert not failed, _report(failed)


@pytest.mark.slow("plays 150 histories")
def test_no_history_restores_an_erased_person() -> None:
    failed = parallel.play(range(1, 151), prepare="tests.simulation.erasures:prepare")
    assert not failed, "\n".join(f"seed {failure.seed}: {failure.violations}" for failure in failed)


@pytest.mark.slow("plays up to 150 histories")
def test_an_erasure_without_a_lookup_is_detected() -> None:
    mistake = "tests.simulation.erasures:lookup_is_left_out"
    assert parallel.play(range(1, 151), jobs=1, prepare=mistake)


@pytest.mark.slow("plays 150 histories")
def test_no_history_links_a_lead_to_two_users() -> None:
    failed = parallel.play(range(1, 151), prepare="tests.simulation.lead_linking:prepare")
    assert not failed, "\n".join(f"seed {failure.seed}: {failure.violations}" for failure in failed)


@pytest.mark.slow("plays up to 2,000 histories")
@pytest.mark.parametrize(
    ("mistake", "first_seed"), [("claims_are_ignored", 8), ("no_one_is_linked", 10)]
)
def test_a_mistake_with_links_is_detected(mistake: str, first_seed: int) -> None:
    prepare = f"tests.simulation.lead_linking:{mistake}"
    assert parallel.play(range(first_seed, ENOUGH + 1), jobs=1, prepare=prepare)


@pytest.mark.slow("plays 150 histories")
def test_no_history_loses_a_further_field() -> None:
    failed = parallel.play(range(1, 151), prepare="tests.simulation.field_map:prepare")
    assert not failed, "\n".join(f"seed {failure.seed}: {failure.violations}" for failure in failed)


@pytest.mark.slow("plays up to 150 histories")
@pytest.mark.parametrize(
    "mistake", ["last_applied_lacks_fields", "answers_are_not_read", "rows_are_added"]
)
def test_a_mistake_with_further_fields_is_detected(mistake: str) -> None:
    assert parallel.play(range(1, 151), jobs=1, prepare=f"tests.simulation.field_map:{mistake}")


@pytest.mark.slow("plays histories twice, in separate processes")
def test_the_same_seed_gives_the_same_history(pool_of_players: ProcessPoolExecutor) -> None:
    seeds = range(1, 16)
    forwards, backwards = pool_of_players.map(traces, (list(seeds), list(reversed(seeds))))
    assert forwards == backwards


def test_every_mistake_fits_the_code(pool_of_players: ProcessPoolExecutor) -> None:
    """The code still has the texts and names that the mistakes replace."""
    pool_of_players.submit(bugs.reintroduce_all).result()


@pytest.mark.slow("plays up to 2,000 histories")
@pytest.mark.parametrize(
    ("mistake", "first_seed"),
    [("lease_doubts_creates_only", 37), ("reply_is_forgotten_unconfirmed", 40)],
)
def test_a_reintroduced_mistake_is_detected(mistake: str, first_seed: int) -> None:
    assert _failures(mistake, first_seed, jobs=1)


@pytest.mark.long
@pytest.mark.parametrize("mistake", bugs.ALL)
def test_every_mistake_is_detected(mistake: str) -> None:
    assert _failures(mistake), f"{ENOUGH} seeds do not detect {mistake}"


def _processes(count: int) -> ProcessPoolExecutor:
    """Separate processes, as playing replaces the foundations of our modules."""
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def _failures(mistake: str, first_seed: int = 1, jobs: int = 0) -> Sequence[parallel.FailedSeed]:
    """The first failure of histories with this mistake; `jobs`: how many processes play them."""
    prepare = f"tests.simulation.bugs:{mistake}"
    return parallel.play(range(first_seed, ENOUGH + 1), jobs=jobs, prepare=prepare)


def _report(failed: Sequence[parallel.FailedSeed]) -> str:
    return "\n".join(
        f"make simulate SEED={failure.seed}: {', '.join(sorted(kinds(list(failure.violations))))}"
        for failure in failed
    )
