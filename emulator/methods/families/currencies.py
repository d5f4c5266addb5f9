"""crm.currency.*: currencies, their rates, and their formats by language.

Documentation: crm/currency/.
"""

from collections.abc import Callable, Mapping
from typing import Any

from emulator.clock import iso
from emulator.entities.multifields import positive_int
from emulator.entities.query import first_row
from emulator.entities.records import Record
from emulator.errors import RestError, not_found
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column, describe
from emulator.methods.in_memory_lists import page, select_as_lead_list

_FAMILY = "crm.currency"
_LOCALIZATION: dict[str, Column] = {
    "FULL_NAME": ("string", "", "Name"),
    "FORMAT_STRING": ("string", "", "Template"),
    "DEC_POINT": ("string", "", "Decimal point"),
    "THOUSANDS_VARIANT": ("string", "", "Separator of thousands"),
    "THOUSANDS_SEP": ("string", "", "Own separator of thousands"),
    "DECIMALS": ("int", "", "Decimals"),
    "HIDE_ZERO": ("char", "", "Without zeros at the end"),
}
_COLUMNS: dict[str, Column] = {
    "CURRENCY": ("string", "", "Currency"),
    "AMOUNT_CNT": ("int", "", "Units of the rate"),
    "AMOUNT": ("double", "", "Rate"),
    "BASE": ("char", "o", "Base currency"),
    "SORT": ("int", "", "Sorting"),
    "DATE_UPDATE": ("datetime", "o", "Modified"),
    "LID": ("string", "o", "Language"),
    "FORMAT_STRING": ("string", "o", "Template"),
    "FULL_NAME": ("string", "o", "Name"),
    "DEC_POINT": ("string", "o", "Decimal point"),
    "THOUSANDS_SEP": ("string", "o", "Separator of thousands"),
    "DECIMALS": ("int", "o", "Decimals"),
    "LANG": ("currency_localization", "m", "Languages"),
}
_LANGUAGE, _OTHER_LANGUAGE = "en", "de"
_LANGUAGES_MAX = 30
_DEFAULT_FORMAT: Record = {
    "FORMAT_STRING": "#",
    "FULL_NAME": "",
    "DEC_POINT": ".",
    "THOUSANDS_SEP": None,
    "DECIMALS": "2",
    "THOUSANDS_VARIANT": "C",
    "HIDE_ZERO": "Y",
}
_INITIAL_CURRENCIES = (("USD", "US dollar", "$#", "1.0000"), ("EUR", "Euro", "#€", "1.0800"))


def add(call: Call) -> MethodResult:
    """crm.currency.add: the code of the new currency."""
    call.require_admin(code="")
    sent = call.require_fields()
    code = _code(sent.get("CURRENCY"))
    if sent.get("AMOUNT") in (None, ""):
        raise RestError("ERROR_CORE", "The required field AMOUNT is missing")
    if code in _currencies(call):
        raise RestError("ERROR_CORE", f"Currency {code} already exists.")
    record: Record = {"CURRENCY": code, "AMOUNT_CNT": "1", "SORT": "100", "BASE": "N", "LANG": {}}
    call.portal.records.add(_FAMILY, _with_changes(call, record, sent))
    return MethodResult(code)


def update(call: Call) -> MethodResult:
    """crm.currency.update: true."""
    call.require_admin(code="")
    number, record = _existing(call)
    call.portal.records.put(_FAMILY, number, _with_changes(call, record, call.require_fields()))
    return MethodResult(result=True)


def get(call: Call) -> MethodResult:
    """crm.currency.get: a currency by its code, with all languages."""
    _, record = _existing(call)
    return MethodResult({**_row(record), "LANG": record["LANG"]})


def list_(call: Call) -> MethodResult:
    """crm.currency.list: the currencies, ordered; there is no filter."""
    rows = [_row(record) for _, record in _currencies(call).values()]
    return MethodResult(*page(select_as_lead_list(rows, call), first_row(call.params)))


def delete(call: Call) -> MethodResult:
    """crm.currency.delete: true; the base currency cannot be deleted."""
    call.require_admin(code="")
    number, record = _existing(call)
    if record["BASE"] == "Y":
        raise RestError("", "Cannot delete base currency.")
    call.portal.records.delete(_FAMILY, number)
    return MethodResult(result=True)


def base(call: Call) -> MethodResult:
    """crm.currency.base.get: the code of the base currency."""
    found = (code for code, (_, record) in _currencies(call).items() if record["BASE"] == "Y")
    return MethodResult(next(found))


def set_base(call: Call) -> MethodResult:
    """crm.currency.base.set: true."""
    call.require_admin(code="")
    chosen, _ = _existing(call)
    for number, record in _currencies(call).values():
        record["BASE"] = "Y" if number == chosen else "N"
        call.portal.records.put(_FAMILY, number, record)
    return MethodResult(result=True)


def localizations(call: Call) -> MethodResult:
    """crm.currency.localizations.get: the formats of a currency by language."""
    _, record = _localized_currency(call)
    return MethodResult(record["LANG"])


def set_localizations(call: Call) -> MethodResult:
    """crm.currency.localizations.set: true."""
    call.require_admin(code="")
    number, record = _localized_currency(call)
    sent = call.argument("localizations")
    record["LANG"] = _languages(record["LANG"], sent if isinstance(sent, dict) else {})
    call.portal.records.put(_FAMILY, number, record)
    return MethodResult(result=True)


def delete_localizations(call: Call) -> MethodResult:
    """crm.currency.localizations.delete: true."""
    call.require_admin(code="")
    number, record = _localized_currency(call)
    sent = call.argument("lids")
    deleted = sent if isinstance(sent, list) else [sent]
    record["LANG"] = {
        name: language for name, language in record["LANG"].items() if name not in deleted
    }
    call.portal.records.put(_FAMILY, number, record)
    return MethodResult(result=True)


def _currencies(call: Call) -> dict[str, tuple[int, Record]]:
    """The currencies by code, each with its record's number; a new portal gets its initial ones."""
    records = call.portal.records
    if not records.all(_FAMILY):
        for index, (code, name, template, rate) in enumerate(_INITIAL_CURRENCIES, 1):
            language = {**_DEFAULT_FORMAT, "FULL_NAME": name, "FORMAT_STRING": template}
            record: Record = {"CURRENCY": code, "AMOUNT_CNT": "1", "AMOUNT": rate}
            record |= {"SORT": str(100 * index), "BASE": "Y" if index == 1 else "N"}
            record |= {"DATE_UPDATE": iso(call.portal.clock.wall())}
            languages = dict.fromkeys((_LANGUAGE, _OTHER_LANGUAGE), language)
            records.add(_FAMILY, {**record, "LANG": languages})
    return {record["CURRENCY"]: (number, record) for number, record in records.all(_FAMILY).items()}


def _existing(call: Call) -> tuple[int, Record]:
    """The currency that `id` names, with its record's number; raises RestError."""
    found = _currencies(call).get(str(call.argument("id") or ""))
    if found is None:
        raise not_found()
    return found


def _localized_currency(call: Call) -> tuple[int, Record]:
    """The currency that a method on localizations names."""
    if not call.argument("id"):
        raise RestError("", "The parameter id is invalid or not defined.")
    return _existing(call)


def _code(sent: object) -> str:
    """The code of a new currency; raises RestError if it is not three letters."""
    code = str(sent or "")
    if len(code) != 3 or not code.isascii() or not code.isalpha():
        raise RestError("ERROR_CORE", "Currency identifier must consist of 3 characters")
    return code.upper()


def _with_changes(call: Call, record: Record, sent: Mapping[str, Any]) -> Record:
    """The record with the sent values; raises RestError."""
    changed = {**record, "DATE_UPDATE": iso(call.portal.clock.wall())}
    for name in ("AMOUNT_CNT", "SORT"):
        if number := positive_int(sent.get(name)):
            changed[name] = str(number)
    if "AMOUNT" in sent:
        try:
            changed["AMOUNT"] = f"{float(sent['AMOUNT']):.4f}"
        except (TypeError, ValueError, OverflowError):
            raise RestError("ERROR_CORE", "The rate is not a number") from None
    if isinstance(sent.get("LANG"), dict):
        changed["LANG"] = _languages(record["LANG"], sent["LANG"])
    return changed


def _languages(before: Record, sent: Mapping[str, Any]) -> Record:
    """The formats by language, changed by the sent ones."""
    languages = dict(before)
    for language, values in list(sent.items())[:_LANGUAGES_MAX]:
        if isinstance(values, dict):
            texts = {name: str(values[name])[:255] for name in _LOCALIZATION if name in values}
            name = str(language)[:2]
            languages[name] = {**_DEFAULT_FORMAT, **languages.get(name, {}), **texts}
    return languages


def _row(record: Record) -> dict[str, Any]:
    """A currency as crm.currency.list returns it, with its name in the portal's language."""
    language = record["LANG"].get(_LANGUAGE) or _DEFAULT_FORMAT
    format_names = ("FULL_NAME", "FORMAT_STRING", "DEC_POINT", "THOUSANDS_SEP", "DECIMALS")
    values = {**record, "LID": _LANGUAGE, **{name: language[name] for name in format_names}}
    names = (
        "CURRENCY",
        "AMOUNT_CNT",
        "AMOUNT",
        "SORT",
        "BASE",
        "FULL_NAME",
        "LID",
        *format_names[1:],
    )
    return {name: values[name] for name in (*names, "DATE_UPDATE")}


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.currency.add": add,
    "crm.currency.update": update,
    "crm.currency.get": get,
    "crm.currency.list": list_,
    "crm.currency.delete": delete,
    "crm.currency.fields": lambda _: MethodResult(describe(_COLUMNS)),
    "crm.currency.base.get": base,
    "crm.currency.base.set": set_base,
    "crm.currency.localizations.get": localizations,
    "crm.currency.localizations.set": set_localizations,
    "crm.currency.localizations.delete": delete_localizations,
    "crm.currency.localizations.fields": lambda _: MethodResult(describe(_LOCALIZATION)),
}
