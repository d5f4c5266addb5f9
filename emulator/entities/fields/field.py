"""A field of a CRM object, from which `fields`, `select`, filters, defaults and checks follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Types whose values are whole numbers in crm.item.*.
INTEGERS = frozenset(
    [
        "integer",
        "user",
        "employee",
        "crm_company",
        "crm_contact",
        "crm_lead",
        "crm_deal",
        "crm_category",
        "crm_quote",
        "crm_entity",
    ]
)
#: What crm.item.fields, and crm.lead.fields and the like, call some types.
_ITEM_TYPES = {"char": "boolean"}
_UPPER_TYPES = {"text": "string"}


@dataclass(frozen=True)
class Field:
    """A field: `name` in crm.lead.*, crm.deal.* and so on, `camel` in crm.item.*.

    `default` is its value in an object that never had one. `where` lists the methods that return
    it: `f` crm.lead.fields, `g` crm.lead.get, `d` crm.item.fields, `i` crm.item.get. The portal
    calls a user field dynamic (`isDynamic`).
    """

    name: str
    camel: str
    title: str
    kind: str = "string"
    default: Any = None
    where: str = "fgdi"
    is_read_only: bool = False
    is_required: bool = False
    is_immutable: bool = False
    is_multiple: bool = False
    is_user_field: bool = False
    max_length: int | None = None
    #: What crm.item.* returns for a field without a value.
    item_default: Any = None
    #: The value in a new object if none was sent; an empty value that was sent is kept.
    initial: Any = None
    #: Further keys of the description.
    extra: Mapping[str, Any] = field(default_factory=dict)

    def description(self, *, is_required: bool) -> dict[str, Any]:
        """The field's entry in crm.lead.fields and the like."""
        return self._description(_UPPER_TYPES.get(self.kind, self.kind), is_required=is_required)

    def item_description(self, *, is_required: bool) -> dict[str, Any]:
        """The field's entry in crm.item.fields."""
        kind = self.kind if self.is_user_field else _ITEM_TYPES.get(self.kind, self.kind)
        description = {
            **self._description(kind, is_required=is_required),
            "upperName": self.upper_name,
        }
        if self.is_user_field:
            description["title"] = self.title
        return description

    def _description(self, kind: str, *, is_required: bool) -> dict[str, Any]:
        description = {
            "type": kind,
            "isRequired": is_required or self.is_required,
            "isReadOnly": self.is_read_only,
            "isImmutable": self.is_immutable,
            "isMultiple": self.is_multiple,
            "isDynamic": self.is_user_field,
        }
        title = self.name if self.is_user_field else self.title
        return {**description, **self.extra, "title": title}

    @property
    def upper_name(self) -> str:
        """`camel` in upper case with underscores; user and parent fields keep their `name`."""
        if self.is_user_field or self.kind == "crm_entity":
            return self.name
        return upper_name(self.camel)


def upper_name(camel: str) -> str:
    """`createdTime` as `CREATED_TIME`."""
    return "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in camel)


def camel_name(upper: str) -> str:
    """`UF_CRM_WISH` as `ufCrmWish`; a number at the end keeps its underscore: `ufCrm_17`."""
    first, *rest = upper.lower().split("_")
    last = rest[-1] if rest else ""
    if last.isdigit():
        rest[-1] = "_" + last
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def directory_key(entity_id: str) -> dict[str, Any]:
    """The key of a field's description that names the directory with its values."""
    return {"statusType": entity_id}


def parent_key(type_id: int) -> dict[str, Any]:
    """The key of a field's description that names the type of the object it links to."""
    return {"settings": {"parentEntityTypeId": type_id}}


def parent_field(type_id: int, title: str) -> Field:
    """The field that links an object to a parent of another type."""
    name, camel = f"PARENT_ID_{type_id}", f"parentId{type_id}"
    return Field(name, camel, title, "crm_entity", extra=parent_key(type_id))


def my_company(where: str = "di") -> Field:
    """The field with the portal owner's company in a deal or invoice; `where` as in `Field`.

    The old `….fields` methods ("f") describe it without settings.
    """
    settings = {"isMyCompany": True, "parentEntityTypeId": 4, "isEmbeddedEditorEnabled": True}
    extra = {} if "f" in where else {"settings": settings}
    return Field(
        "MYCOMPANY_ID",
        "mycompanyId",
        "Details of your company",
        "crm_company",
        where=where,
        item_default=0,
        extra=extra,
    )


def switched_off(*names: str) -> tuple[Field, ...]:
    """Fields that crm.item.get shows and Bitrix24 has switched off: always null."""
    return tuple(Field("", name, name, where="i", is_read_only=True) for name in names)


#: The types of multifield rows, with their labels.
MULTIFIELDS = {
    "PHONE": "Phone",
    "EMAIL": "E-mail",
    "WEB": "Website",
    "IM": "Messenger",
    "LINK": "Open Channel user",
}
#: Fields of crm.item.get that show the first multifield row of a type and value type ("": any).
ROW_OF_FIELD = {
    "phoneMobile": ("PHONE", "MOBILE"),
    "phoneWork": ("PHONE", "WORK"),
    "phoneMailing": ("PHONE", "MAILING"),
    "emailHome": ("EMAIL", "HOME"),
    "emailWork": ("EMAIL", "WORK"),
    "emailMailing": ("EMAIL", "MAILING"),
    "imol": ("IM", "OPENLINE"),
    "email": ("EMAIL", ""),
    "phone": ("PHONE", ""),
}
FIRST_ROW_FIELDS = tuple(
    Field("", camel, camel, where="i", item_default="", is_read_only=True) for camel in ROW_OF_FIELD
)
OBSERVERS = Field(
    "OBSERVERS", "observers", "Observers", "user", where="di", is_multiple=True, item_default=[]
)

UTM = (
    Field("UTM_SOURCE", "utmSource", "UTM Source"),
    Field("UTM_MEDIUM", "utmMedium", "UTM Medium"),
    Field("UTM_CAMPAIGN", "utmCampaign", "UTM Campaign"),
    Field("UTM_CONTENT", "utmContent", "UTM Content"),
    Field("UTM_TERM", "utmTerm", "UTM Term"),
)
ORIGIN = (
    Field("ORIGINATOR_ID", "originatorId", "External source", max_length=255),
    Field("ORIGIN_ID", "originId", "Id in the external source", max_length=255),
)
ADDRESS = (
    Field("ADDRESS", "address", "Address", where="fg"),
    Field("ADDRESS_2", "address2", "Address (line 2)", where="fg"),
    Field("ADDRESS_CITY", "addressCity", "City", where="fg"),
    Field("ADDRESS_POSTAL_CODE", "addressPostalCode", "Postal code", where="fg"),
    Field("ADDRESS_REGION", "addressRegion", "Region", where="fg"),
    Field("ADDRESS_PROVINCE", "addressProvince", "Province", where="fg"),
    Field("ADDRESS_COUNTRY", "addressCountry", "Country", where="fg"),
    Field("ADDRESS_COUNTRY_CODE", "addressCountryCode", "Country code", where="fg"),
    Field("ADDRESS_LOC_ADDR_ID", "addressLocAddrId", "Location address", "integer", where="fg"),
)
HAS_MULTIFIELDS = (
    Field("HAS_PHONE", "hasPhone", "Has a phone", "char", "N", is_read_only=True),
    Field("HAS_EMAIL", "hasEmail", "Has an e-mail", "char", "N", is_read_only=True),
    Field("HAS_IMOL", "hasImol", "Has an open channel", "char", "N", is_read_only=True),
)
SOURCE = (
    Field("SOURCE_ID", "sourceId", "Source", "crm_status", extra=directory_key("SOURCE")),
    Field("SOURCE_DESCRIPTION", "sourceDescription", "Source information", "text"),
)
AUTHORS = (
    Field("ASSIGNED_BY_ID", "assignedById", "Responsible", "user", "1"),
    Field("CREATED_BY_ID", "createdBy", "Created by", "user", "1", is_read_only=True),
    Field("MODIFY_BY_ID", "updatedBy", "Modified by", "user", "1", is_read_only=True),
    Field("DATE_CREATE", "createdTime", "Created", "datetime", is_read_only=True),
    Field("DATE_MODIFY", "updatedTime", "Modified", "datetime", is_read_only=True),
)
MOVED = (
    Field("MOVED_BY_ID", "movedBy", "Moved by", "user", "1", is_read_only=True),
    Field("MOVED_TIME", "movedTime", "Moved", "datetime", is_read_only=True),
)
LAST_ACTIVITY = (
    Field("LAST_ACTIVITY_BY", "lastActivityBy", "Last activity by", "user", "1", is_read_only=True),
    Field("LAST_ACTIVITY_TIME", "lastActivityTime", "Last activity", "datetime", is_read_only=True),
)
LAST_COMMUNICATION = Field(
    "LAST_COMMUNICATION_TIME",
    "lastCommunicationTime",
    "Last communication",
    where="fg",
    is_read_only=True,
)
OPENED = Field("OPENED", "opened", "Available to everyone", "char", "Y")
WEBFORM = Field("WEBFORM_ID", "webformId", "CRM form", "integer", where="di", item_default=0)
MONEY = (
    Field("CURRENCY_ID", "currencyId", "Currency", "crm_currency", "USD"),
    Field("OPPORTUNITY", "opportunity", "Amount", "double", "0.00"),
    Field("IS_MANUAL_OPPORTUNITY", "isManualOpportunity", "Manual amount", "char", "N"),
)
TAX = Field("TAX_VALUE", "taxValue", "Tax", "double", "0.00")
CLIENT = (
    Field("COMPANY_ID", "companyId", "Company", "crm_company", item_default=0, extra=parent_key(4)),
    Field(
        "CONTACT_ID",
        "contactId",
        "Contact",
        "crm_contact",
        item_default=0,
        extra={"isDeprecated": True},
    ),
    Field(
        "CONTACT_IDS",
        "contactIds",
        "Contacts",
        "crm_contact",
        where="fdi",
        is_multiple=True,
        item_default=[],
    ),
)
