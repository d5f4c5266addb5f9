"""`make simulate`: play many seeds on all cores, or print the history of one seed.

python -m tests.simulation --seeds 10000 --from 1
python -m tests.simulation --seed 37
"""

import argparse
import os
import sys

from tests.simulation import parallel, shrinking


def main() -> int:
    """Play the given seeds; 1 if a rule was broken."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Otherwise the order of a set of strings differs between processes.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, (sys.executable, "-m", "tests.simulation", *sys.argv[1:]))  # noqa: S606 - ourselves
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many histories")
    parser.add_argument("--from", type=int, default=1, dest="first", help="the first seed")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0: one a core")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--seed", type=int, help="print the history of this seed")
    parser.add_argument("--whole", action="store_true", help="with --seed: do not shrink it")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return shrinking.print_history(arguments.seed, shrink=not arguments.whole)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    failed = parallel.play(seeds, jobs=arguments.jobs, go_on=arguments.go_on)
    if failed and not arguments.go_on:
        return shrinking.print_history(failed[0].seed, shrink=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
