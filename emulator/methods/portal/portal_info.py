"""Methods that describe the portal: CRM mode, time, scopes, features, types of objects."""

from collections.abc import Callable
from typing import Any

from emulator.clock import iso
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import describe

#: Types that crm.enum.ownertype names and the emulator does not have: id, title, name, prefix.
_OTHER_TYPES = (
    (5, "Invoice (old)", "INVOICE", "I"),
    (8, "Requisites", "REQUISITE", "RQ"),
    (36, "Document", "SMART_DOCUMENT", "DO"),
    (39, "Company document", "SMART_B2E_DOC", "SBD"),
)
_ADDRESSES = {
    11: "Shipping address",
    1: "Physical address",
    6: "Legal address",
    4: "Registered address",
    8: "Mailing address",
    9: "Beneficiary address",
}
_ACCESS = {"G2": "All visitors", "AU": "All authorized users"}
_FEATURES = ("rest_offline_extended", "rest_auth_connector")


def mode(call: Call) -> MethodResult:
    """crm.settings.mode.get: 1 with leads, 2 without."""
    return MethodResult(2 if call.portal.settings.crm_mode == "simple" else 1)


def modes(_: Call) -> MethodResult:
    """crm.enum.settings.mode: the names of both modes."""
    return MethodResult([_named_entry(1, "Classic CRM"), _named_entry(2, "Simple CRM")])


def types(call: Call) -> MethodResult:
    """crm.enum.ownertype: the types of CRM objects."""
    entities = call.portal.types.all()
    crm_types = [
        _named_entry(entity.type_id, entity.title, entity.name, entity.prefix)
        for entity in entities
    ]
    return MethodResult([*crm_types, *(_named_entry(*other) for other in _OTHER_TYPES)])


def type_fields(_: Call) -> MethodResult:
    """crm.enum.fields: the fields of an entry of crm.enum.*."""
    kinds = {"ID": "int", "NAME": "string", "SYMBOL_CODE": "string", "SYMBOL_CODE_SHORT": "string"}
    return MethodResult({name: _field_description(name, kind) for name, kind in kinds.items()})


def multifield_fields(_: Call) -> MethodResult:
    """crm.multifield.fields: the fields of a phone or the like."""
    columns = {"ID": ("int", "o", "ID"), "TYPE_ID": ("string", "o", "Kind")}
    columns |= {"VALUE": ("string", "", "Value"), "VALUE_TYPE": ("string", "", "Type of the value")}
    return MethodResult(describe(columns))


def address_types(_: Call) -> MethodResult:
    """crm.enum.addresstype: the types of addresses."""
    return MethodResult([_named_entry(number, name) for number, name in _ADDRESSES.items()])


def order_owners(_: Call) -> MethodResult:
    """crm.enum.getorderownertypes: the types that an order may belong to."""
    return MethodResult([{"attribute": "DYN", "code": "DEAL", "id": 2, "name": "Deal"}])


def access_names(call: Call) -> MethodResult:
    """access.name: the names of access codes; unknown ones are left out."""
    sent = call.argument("access")
    codes = [code for code in sent if isinstance(code, str)] if isinstance(sent, list) else []
    rights = {
        code: {"provider": "", "name": _ACCESS[code], "provider_id": "other"}
        for code in codes
        if code in _ACCESS
    }
    return MethodResult(rights or [])


def server_time(call: Call) -> MethodResult:
    """server.time: the portal's time of day."""
    return MethodResult(iso(call.portal.clock.wall()))


def scope(call: Call) -> MethodResult:
    """scope: the scopes of the webhook; with `full`, all scopes."""
    scopes = list(call.portal.settings.scope)
    if call.argument("full") in (True, "true", "1", 1, "Y"):
        scopes = sorted({*scopes, "crm", "user", "user_basic", "user_brief"})
    return MethodResult(scopes)


def app_info(call: Call) -> MethodResult:
    """app.info as a webhook sees it."""
    return MethodResult(
        {
            "ID": 1,
            "CODE": "local",
            "VERSION": 1,
            "STATUS": "L",
            "INSTALLED": True,
            "PAYMENT_EXPIRED": "N",
            "DAYS": None,
            "LANGUAGE_ID": "en",
            "LICENSE": "en_local",
            "LICENSE_TYPE": "local",
            "LICENSE_FAMILY": "local",
            "SCOPE": list(call.portal.settings.scope),
        }
    )


def feature(call: Call) -> MethodResult:
    """feature.get: whether this portal has offline events (common/system/feature-get.md)."""
    code = call.argument("code")
    if not isinstance(code, str) or not code:
        raise RestError("CODE_EMPTY", "CODE can't be empty")
    has_feature = code in _FEATURES and call.portal.settings.event_bind == "allowed"
    return MethodResult({"value": "Y" if has_feature else "N"})


def _named_entry(number: int, name: str, code: str | None = None, short: str | None = None) -> Any:
    return {"ID": number, "NAME": name, "SYMBOL_CODE": code, "SYMBOL_CODE_SHORT": short}


def _field_description(title: str, kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        "isRequired": False,
        "isReadOnly": True,
        "isImmutable": False,
        "isMultiple": False,
        "isDynamic": False,
        "title": title,
    }


METHODS: dict[str, Callable[[Call], MethodResult]] = {
    "crm.settings.mode.get": mode,
    "crm.enum.settings.mode": modes,
    "crm.enum.ownertype": types,
    "crm.enum.fields": type_fields,
    "crm.multifield.fields": multifield_fields,
    "crm.enum.addresstype": address_types,
    "crm.enum.getorderownertypes": order_owners,
    "access.name": access_names,
    "server.time": server_time,
    "scope": scope,
    "app.info": app_info,
    "feature.get": feature,
}
