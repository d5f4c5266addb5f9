"""Errors of REST methods, with the portal's codes and texts.

RestError                 status, code, description
├── not_found             400 "" "Not found": no such object
├── invalid_id            400 "" "ID is not defined or invalid."
└── access_denied         400 "" "Access denied."
"""


class RestError(Exception):
    """A response `{"error": code, "error_description": description}` with an HTTP status.

    Errors without a name have the code "" or 0, depending on the method.
    """

    def __init__(self, code: str | int, description: str, status: int = 400) -> None:
        super().__init__(code, description, status)
        self.code = code
        self.description = description
        self.status = status

    def body(self) -> dict[str, str | int]:
        """The error's JSON object; the same inside `result_error` of a batch."""
        return {"error": self.code, "error_description": self.description}


def not_found() -> RestError:
    """The error of crm.lead.*, crm.deal.* and so on for a missing object."""
    return RestError("", "Not found")


def invalid_id() -> RestError:
    """The error for an id that is missing, not a number, or not positive."""
    return RestError("", "ID is not defined or invalid.")


def access_denied() -> RestError:
    """The error of crm.lead.* and the like for an object that the user may not read."""
    return RestError("", "Access denied.")
