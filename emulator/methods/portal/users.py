"""user.*: the users of the portal. Documentation: user/, common/users/."""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.entities.filters import FILTER_KEY
from emulator.entities.like import like
from emulator.entities.query import PAGE, first_row
from emulator.methods.call import Call, MethodResult
from emulator.methods.filter_and_sort import ordered, sort_key
from emulator.users import ADMIN, CURRENT_USER_FIELDS, USER_FIELDS, USERS

_SEARCHED = ("NAME", "LAST_NAME", "WORK_POSITION")


def get(call: Call) -> MethodResult:
    """user.get: the users that a filter finds."""
    conditions = call.argument("filter")
    sent = conditions if isinstance(conditions, dict) else {}
    # Fields of the filter may also be given as top-level parameters.
    top_level = {name: value for name, value in call.params.items() if name.upper() in USER_FIELDS}
    return _page(call, [user for user in USERS.values() if _matches(user, {**top_level, **sent})])


def search(call: Call) -> MethodResult:
    """user.search: users by the beginning of a name or position; FIND searches in all of them."""
    conditions = call.argument("filter")
    sent = dict(conditions) if isinstance(conditions, dict) else {}
    find = str(sent.pop("FIND", None) or call.argument("find") or "").strip()
    if find:
        return _page(call, [user for user in USERS.values() if _has_words(user, find)])
    prefixes = {f"=%{name}": f"{sent.pop(name)}%" for name in _SEARCHED if name in sent}
    return _page(call, [user for user in USERS.values() if _matches(user, {**prefixes, **sent})])


def current(call: Call) -> MethodResult:
    """user.current: the webhook's user."""
    user = USERS[call.user]
    values = {name: user[name] for name in CURRENT_USER_FIELDS}
    return MethodResult({**values, "LAST_ACTIVITY_DATE": "2026-01-05 09:00:00"})


def fields(_: Call) -> MethodResult:
    """user.fields: the fields of a user."""
    return MethodResult(USER_FIELDS)


def is_admin(call: Call) -> MethodResult:
    """user.admin: whether the webhook's user is an administrator."""
    return MethodResult(call.user == ADMIN)


def access(_: Call) -> MethodResult:
    """user.access: true; the emulator does not distinguish rights."""
    return MethodResult(result=True)


def profile(call: Call) -> MethodResult:
    """profile: the webhook's user, with few fields."""
    user = USERS[call.user]
    values = {"ID": user["ID"], "ADMIN": call.user == ADMIN}
    names = ("NAME", "LAST_NAME", "PERSONAL_GENDER", "TIME_ZONE")
    return MethodResult({**values, **{name: user[name] for name in names}})


def _page(call: Call, found: list[dict[str, Any]]) -> MethodResult:
    """A page of users, ordered and with the selected fields."""
    key = str(call.argument("sort") or "ID").upper()
    first = first_row(call.params)
    is_descending = str(call.argument("order") or "ASC").upper() == "DESC"
    rows = ordered(found, {key: "DESC" if is_descending else "ASC"})
    select = call.argument("select")
    if isinstance(select, list) and select and "*" not in select:
        rows = [
            {
                name: value
                for name, value in row.items()
                if name in select or (name.startswith("UF_") and "UF_*" in select)
            }
            for row in rows
        ]
    if first is None:
        return MethodResult(rows[:PAGE], 0)
    following = first + PAGE if first + PAGE < len(rows) else None
    return MethodResult(rows[first : first + PAGE], len(rows), following)


def _matches(user: Mapping[str, Any], conditions: Mapping[str, Any]) -> bool:
    """Whether a user meets all conditions of a filter."""
    for key, value in conditions.items():
        found = FILTER_KEY.match(str(key))
        if found is None:
            continue
        operator, name = found.group(1), found.group(2).upper()
        if name == "NAME_SEARCH":
            if not _has_words(user, str(value)):
                return False
        elif name in user and not _compares(user[name], operator, value):
            return False
    return True


def _compares(stored: Any, operator: str, value: Any) -> bool:
    """Whether a stored value meets a condition; a list meets it if one of its values does."""
    is_negated = operator.startswith("!")
    values = value if isinstance(value, list) else [value]
    stored_texts = [_text(value) for value in (stored if isinstance(stored, list) else [stored])]
    if operator in {">", ">=", "<", "<="}:
        number, limit = sort_key(stored_texts[0]), sort_key(_text(value))
        return {
            "<": number < limit,
            "<=": number <= limit,
            ">": number > limit,
            ">=": number >= limit,
        }[operator]
    if "%" in operator:
        patterns = [str(text) if "=" in operator else f"%{text}%" for text in values]
        is_found = any(like(pattern, text) for pattern in patterns for text in stored_texts)
    else:
        is_found = any(
            _text(expected).lower() == text.lower() for expected in values for text in stored_texts
        )
    return is_found != is_negated


def _has_words(user: Mapping[str, Any], text: str) -> bool:
    """Whether each word of the text begins a word of the user's name or position."""
    words = " ".join(str(user[name]) for name in _SEARCHED).lower().split()
    return all(
        any(own_word.startswith(word) for own_word in words) for word in text.lower().split()
    )


def _text(value: Any) -> str:
    """A value as it is compared: all forms of true and false as 1 and 0."""
    if value in (True, "Y", "true"):
        return "1"
    return "0" if value in (False, "N", "false") else str(value)


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "user.get": get,
    "user.search": search,
    "user.current": current,
    "user.fields": fields,
    "user.admin": is_admin,
    "user.access": access,
    "profile": profile,
}
