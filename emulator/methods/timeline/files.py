"""Files that clients attach; only the size of their content is stored."""

import base64
import binascii
from typing import Any

_IMAGES = (".gif", ".jpg", ".jpeg", ".png", ".webp")
#: Files of one comment or activity.
FILES_MAX = 50
_DISK = "https://portal.bitrix24.local/disk"


def stored_files(sent: Any) -> list[list[Any]]:
    """The name and size of each file, sent as a pair of name and content, or as `fileData`."""
    rows = list(sent.values()) if isinstance(sent, dict) else sent
    found = []
    for row in (rows if isinstance(rows, list) else [])[:FILES_MAX]:
        pair = row.get("fileData") if isinstance(row, dict) else row
        if isinstance(pair, list) and len(pair) >= 2:
            found.append([str(pair[0])[:255], _size(str(pair[1]))])
    return found


def file_rows(files: list[list[Any]], time: str, author: str) -> dict[str, Any]:
    """The files of a comment, by number."""
    return {
        str(number): _file_row(number, name, size, time, author)
        for number, (name, size) in enumerate(files, 1)
    }


def _size(content: str) -> int:
    try:
        return len(base64.b64decode(content, validate=True))
    except (binascii.Error, ValueError):
        return 0


def _file_row(number: int, name: str, size: int, time: str, author: str) -> dict[str, Any]:
    """A file as crm.timeline.comment.get returns it."""
    is_image = name.lower().endswith(_IMAGES)
    address = f"{number}/?&ncc=1&filename={name}"
    return {
        "id": number,
        "date": time,
        "type": "image" if is_image else "file",
        "name": name,
        "size": size,
        **({"image": {"width": 1, "height": 1}} if is_image else {}),
        "authorId": int(author),
        "authorName": f"User {author}",
        "urlPreview": f"{_DISK}/showFile/{address}",
        "urlShow": f"{_DISK}/showFile/{address}",
        "urlDownload": f"{_DISK}/downloadFile/{address}",
    }
