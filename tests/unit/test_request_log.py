"""The edge's log lines contain no personal data, even if a caller writes it into a path."""

import pytest

from local.gateway.request_log import loggable


@pytest.mark.parametrize(
    ("raw", "logged"),
    [
        ("/users", "/users"),
        ("/users/42/move", "/users/42/move"),
        ("/users?phone=%2B77001112233", "/users"),
        ("/", "/"),
        ("/docs/swagger-ui.css", "/docs/swagger-ui.css"),
        ("/console/api/users/42/again", "/console/api/users/42/again"),
        ("/system/functions", "/system/functions"),
        ("/users/+77001112233", "/users/*"),
        ("/users/77001112233/move", "/users/*/move"),
        ("/users/ivan@example.com", "/users/*"),
        ("/users/%D0%98%D0%B2%D0%B0%D0%BD", "/users/*"),
        ("/users/Иван\udcff", "/users/*"),
        ("/ivanov/7", "/*/7"),
        ("/users/by-external-id/4711", "/users/by-external-id/*"),
        ("/function/upsert-users/by-external-id/ivan", "/function/*/by-external-id/*"),
        ("*", "*"),
    ],
)
def test_words_of_our_own_paths_and_ids_are_logged_and_nothing_else(raw: str, logged: str) -> None:
    assert loggable(raw) == logged


def test_only_the_name_of_an_existing_function_is_logged() -> None:
    path = "/function/create-user/ivanov?name=x"
    assert loggable(path, "create-user") == "/function/create-user/*"
    assert loggable(path) == "/function/*/*"
