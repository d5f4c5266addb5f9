"""The problem types of the HTTP API: what each code means and what a client does about it.

The `type` of a problem links to its code on the page `/docs/problems`. docs/problems.md has the
same text: `python -m leadline.api.problem_types` prints it.
"""

import sys
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A code, the status that it comes with, and what it means for a client."""

    code: str
    status: int
    meaning: str
    remedy: str


TYPES = (
    ProblemType("bad_request", 400, "The request is not valid HTTP.", "Correct it."),
    ProblemType("malformed_json", 400, "The body is not valid JSON, or is nested too deeply.",
                "Send valid JSON in UTF-8."),
    ProblemType("invalid_idempotency_key", 400, "The Idempotency-Key is empty or too long.",
                "Use 1 to 255 characters, a UUID for example."),
    ProblemType("key_missing", 401, "No key was sent.", "Send `Authorization: Bearer <key>`."),
    ProblemType("key_unknown", 403, "The key is not one of this system's.",
                "Check it, and which system it is for."),
    ProblemType("key_expired", 403, "The key's last day is over.",
                "Ask the operator for a new key."),
    ProblemType("scope_missing", 403, "The key may not do this; `detail` names the scope.",
                "Ask the operator for a key with that scope."),
    ProblemType("forbidden", 403, "A page of another site sent the request, or the action needs "
                "a header that only the console sends.", "Call from a server, with a key."),
    ProblemType("user_not_found", 404, "No user has this id.", "Check the id."),
    ProblemType("path_not_found", 404, "There is nothing at this path.", "Check the path."),
    ProblemType("method_not_allowed", 405, "The path does not support this method.",
                "Use one that the header `Allow` lists."),
    ProblemType("body_timeout", 408, "The body took longer than 20 s.", "Send it again, faster."),
    ProblemType("request_in_progress", 409, "A request with this Idempotency-Key is in progress.",
                "Repeat the same request after `Retry-After`."),
    ProblemType("external_id_taken", 409, "Another user has this external id.",
                "Change that user, for example by `PUT /users/by-external-id/{external_id}`."),
    ProblemType("user_erased", 410, "The user was erased permanently. A repetition of the "
                "request that wrote it gets this, too.",
                "Delete your copy; a new user gets a new id."),
    ProblemType("version_mismatch", 412, "The user has another version than `If-Match` names, or "
                "does not exist.", "Read the user, apply the change to it, and use its new ETag."),
    ProblemType("body_too_large", 413, "The body is over the limit: 64 KiB, 1 MiB for a batch.",
                "Send less; split a batch."),
    ProblemType("not_json", 415, "The body is not declared as JSON.",
                "Send `Content-Type: application/json`."),
    ProblemType("compressed_body", 415, "The body is compressed.",
                "Send it without `Content-Encoding`."),
    ProblemType("expectation_failed", 417, "`Expect` has another value than `100-continue`.",
                "Leave the header out."),
    ProblemType("invalid_fields", 422, "Fields or parameters are missing, invalid or unknown.",
                "Correct those in `errors`; each has a `field` and a `message`."),
    ProblemType("idempotency_key_reused", 422, "The Idempotency-Key was used for another request.",
                "Use a new key for each request, and the same one only to repeat it unchanged."),
    ProblemType("duplicate_external_id", 422, "An earlier user of the batch has the same external "
                "id, and was processed.", "Name each external id once in a batch."),
    ProblemType("bad_message", 422, "A message can never be processed.",
                "Correct its sender; the message is a dead letter."),
    ProblemType("rate_limited", 429, "The key writes faster than allowed (a batch counts its "
                "users), or many requests came without a valid key.", "Wait for `Retry-After`."),
    ProblemType("head_too_large", 431, "Path, query and headers are too long.", "Send less."),
    ProblemType("internal_error", 500, "An error of the system, which its log describes.",
                "Quote `X-Call-Id` to the operator."),
    ProblemType("not_implemented", 501, "The edge does not have this part of the OpenFaaS API.",
                "See docs/faas-cli.md."),
    ProblemType("function_failed", 502, "A function aborted its response.",
                "Repeat; a write with the same Idempotency-Key."),
    ProblemType("dependency_unavailable", 503, "A server that the request needs can't be reached: "
                "Postgres, or for some of an operator's actions RabbitMQ or Redis.",
                "Repeat after `Retry-After`; a write with the same Idempotency-Key."),
    ProblemType("statement_timeout", 503, "Postgres took longer than 5 s, and wrote nothing.",
                "Search for less, or with fewer filters; or repeat after `Retry-After`."),
    ProblemType("function_unreachable", 503, "The function accepts no connections.",
                "Repeat after `Retry-After`."),
    ProblemType("function_timeout", 504, "The function took longer than a minute.",
                "Repeat; a write with the same Idempotency-Key."),
)  # fmt: skip


def html() -> bytes:
    """The page of all types, with an anchor for each code."""
    rows = "".join(
        f'<section id="{type_.code}"><h2><code>{type_.code}</code> {type_.status}</h2>'
        f"<p>{_html(type_.meaning)}</p><p>{_html(type_.remedy)}</p></section>"
        for type_ in TYPES
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<title>Leadline: problems</title></head>"
        f"<body><main><h1>Problems</h1>{rows}</main></body></html>"
    ).encode()


def _html(text: str) -> str:
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts)
    )


def markdown() -> str:
    """The page docs/problems.md."""
    sections = "".join(
        f"\n## `{type_.code}`\n\n{type_.status}: {type_.meaning} {type_.remedy}\n"
        for type_ in TYPES
    )
    return (
        "# Problems\n\nEach error of the HTTP API is `application/problem+json`. Its `code` is "
        "stable and names one of these;\n`type` leads to it: on the page `/docs/problems` of a "
        "running system, or here. Texts may change.\n" + sections
    )


if __name__ == "__main__":
    sys.stdout.write(markdown())
