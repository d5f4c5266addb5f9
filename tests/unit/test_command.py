"""Commands of a batch are encoded as PHP decodes them."""

from typing import Any

import pytest

from leadline.bitrix24.command import Command


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({}, ""),
        ({"id": 7}, "id=7"),
        ({"a": None, "b": ""}, "a=&b="),
        ({"a": 0, "b": False}, "a=0&b=False"),
        ({"fields": {"NAME": "Ann"}}, "fields%5BNAME%5D=Ann"),
        ({"ids": [7, 8]}, "ids%5B0%5D=7&ids%5B1%5D=8"),
        ({"ids": (7,)}, "ids%5B0%5D=7"),
        ({"fm": {"n0": [{"VALUE": "+7"}]}}, "fm%5Bn0%5D%5B0%5D%5BVALUE%5D=%2B7"),
        ({"a": [], "b": {}, "c": 1}, "c=1"),
        ({"a b": "a b&c=d"}, "a+b=a+b%26c%3Dd"),
        ({"filter": {"=ORIGIN": "я"}}, "filter%5B%3DORIGIN%5D=%D1%8F"),
        ({1: "a"}, "1=a"),
    ],
)
def test_parameters_are_written_as_php_nests_them(params: dict[Any, Any], query: str) -> None:
    assert Command("crm.item.add", params).as_query() == f"crm.item.add?{query}"
