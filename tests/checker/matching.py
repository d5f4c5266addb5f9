"""Maximum bipartite matching: as many pairs as possible, each item in one pair at most."""

from collections.abc import Callable, Sequence
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


def maximum_matching(
    left: Sequence[A], right: Sequence[B], fits: Callable[[A, B], bool]
) -> list[A]:
    """The items of `left` that have a partner in `right` in a maximum matching."""
    choices = [
        [place for place, other in enumerate(right) if fits(element, other)] for element in left
    ]
    taken_by: dict[int, int] = {}

    def find_place(left_index: int, tried: set[int]) -> bool:
        """Take a place in `right` for this item of `left`, moving others if that is needed."""
        for place in choices[left_index]:
            if place in tried:
                continue
            tried.add(place)
            if place not in taken_by or find_place(taken_by[place], tried):
                taken_by[place] = left_index
                return True
        return False

    return [left[index] for index in range(len(left)) if find_place(index, set())]
