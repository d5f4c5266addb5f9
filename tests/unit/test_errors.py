"""The tree in the docstring of `leadline.errors` matches its classes."""

import re

from leadline import errors

_LINE = re.compile(r"(?P<indent>[│ ]*)[├└]── (?P<name>\w+)")


def _drawn() -> dict[str, str]:
    """The base of each error, as the tree shows it."""
    bases: dict[str, str] = {}
    path = ["LeadlineError"]
    for line in (errors.__doc__ or "").splitlines():
        if found := _LINE.match(line):
            depth = 1 + len(found["indent"]) // 4
            path[depth:] = [found["name"]]
            bases[found["name"]] = path[depth - 1]
    return bases


def test_the_tree_lists_every_error_below_its_base() -> None:
    classes = [variable for variable in vars(errors).values() if isinstance(variable, type)]
    defined = {
        class_.__name__: class_.__base__.__name__
        for class_ in classes
        if issubclass(class_, errors.LeadlineError)
        and class_.__base__ is not None
        and class_ is not errors.LeadlineError
    }
    assert _drawn() == defined
