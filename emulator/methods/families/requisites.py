"""crm.requisite.*: requisites of companies and contacts, with bank details and templates.

Documentation: crm/requisites/.
"""

from collections.abc import Callable
from typing import Any

from emulator.entities.entity import COMPANY, CONTACT
from emulator.entities.multifields import positive_int
from emulator.entities.records import Record
from emulator.errors import RestError
from emulator.methods.call import Call, MethodResult
from emulator.methods.descriptions import Column
from emulator.methods.families.family import Family, texts

_DATES: dict[str, Column] = {
    "DATE_CREATE": ("datetime", "o", "Created"),
    "DATE_MODIFY": ("datetime", "o", "Modified"),
    "CREATED_BY_ID": ("user", "o", "Created by"),
    "MODIFY_BY_ID": ("user", "o", "Modified by"),
}
_CODES = texts("NAME", "CODE", "XML_ID", "ORIGINATOR_ID")
#: The columns of requisites that vary by country.
REQUISITE_COLUMNS = (
    *("RQ_NAME", "RQ_FIRST_NAME", "RQ_LAST_NAME", "RQ_SECOND_NAME", "RQ_COMPANY_ID"),
    *("RQ_COMPANY_NAME", "RQ_COMPANY_FULL_NAME", "RQ_COMPANY_REG_DATE", "RQ_DIRECTOR"),
    *("RQ_ACCOUNTANT", "RQ_CEO_NAME", "RQ_CEO_WORK_POS", "RQ_CONTACT", "RQ_EMAIL", "RQ_PHONE"),
    *("RQ_FAX", "RQ_IDENT_TYPE", "RQ_IDENT_DOC", "RQ_IDENT_DOC_SER", "RQ_IDENT_DOC_NUM"),
    *("RQ_IDENT_DOC_PERS_NUM", "RQ_IDENT_DOC_DATE", "RQ_IDENT_DOC_ISSUED_BY"),
    *("RQ_IDENT_DOC_DEP_CODE", "RQ_INN", "RQ_KPP", "RQ_USRLE", "RQ_IFNS", "RQ_OGRN", "RQ_OGRNIP"),
    *("RQ_OKPO", "RQ_OKTMO", "RQ_OKVED", "RQ_EDRPOU", "RQ_DRFO", "RQ_KBE", "RQ_IIN", "RQ_BIN"),
    *("RQ_ST_CERT_SER", "RQ_ST_CERT_NUM", "RQ_ST_CERT_DATE", "RQ_VAT_PAYER", "RQ_VAT_ID"),
    *("RQ_VAT_CERT_SER", "RQ_VAT_CERT_NUM", "RQ_VAT_CERT_DATE", "RQ_RESIDENCE_COUNTRY"),
    *("RQ_BASE_DOC", "RQ_REGON", "RQ_KRS", "RQ_PESEL", "RQ_LEGAL_FORM", "RQ_SIRET", "RQ_SIREN"),
    *("RQ_CAPITAL", "RQ_RCS", "RQ_CNPJ", "RQ_STATE_REG", "RQ_MNPL_REG", "RQ_CPF"),
)
_BANK = (
    *("RQ_BANK_NAME", "RQ_BANK_CODE", "RQ_BANK_ADDR", "RQ_BANK_ROUTE_NUM", "RQ_BIK", "RQ_MFO"),
    *("RQ_ACC_NAME", "RQ_ACC_NUM", "RQ_ACC_TYPE", "RQ_IIK", "RQ_ACC_CURRENCY", "RQ_COR_ACC_NUM"),
    *("RQ_IBAN", "RQ_SWIFT", "RQ_BIC", "RQ_CODEB", "RQ_CODEG", "RQ_RIB", "RQ_AGENCY_NAME"),
    "COMMENTS",
)
_ACTIVE: dict[str, Any] = {"ACTIVE": "Y", "SORT": "500"}


def _require_owner(call: Call, record: Record) -> None:
    kinds = {str(entity.type_id): entity for entity in (CONTACT, COMPANY)}
    entity = kinds.get(str(record["ENTITY_TYPE_ID"]))
    if entity is None:
        raise RestError("", "ENTITY_TYPE_ID is not defined or invalid.")
    if call.item(entity, positive_int(record["ENTITY_ID"])) is None:
        raise RestError("", "Entity not found.")


def _require_requisite(call: Call, record: Record) -> None:
    REQUISITE.by_id(call, positive_int(record["ENTITY_ID"]) or 0)


def _require_unused(call: Call, record: Record) -> None:
    used = {row["PRESET_ID"] for row in call.portal.records.all(REQUISITE.name).values()}
    if str(record["ID"]) in used:
        text = "You cannot delete the template because requisites have already been created by it."
        raise RestError("", text)


REQUISITE = Family(
    "crm.requisite",
    "Requisite",
    {
        "ID": ("integer", "o", "ID"),
        "ENTITY_TYPE_ID": ("integer", "ri", "Type of the owner"),
        "ENTITY_ID": ("integer", "ri", "Owner"),
        "PRESET_ID": ("integer", "ri", "Template"),
        **_DATES,
        **_CODES,
        "ACTIVE": ("char", "", "Active"),
        "ADDRESS_ACTIVELY": ("char", "", "Address only"),
        "SORT": ("integer", "", "Sorting"),
        **texts(*REQUISITE_COLUMNS),
    },
    {**_ACTIVE, "ADDRESS_ACTIVELY": "N"},
    ("ENTITY_TYPE_ID", "ENTITY_ID", "PRESET_ID"),
    event="REQUISITE",
    check=_require_owner,
)
BANK_DETAIL = Family(
    "crm.requisite.bankdetail",
    "RequisiteBankDetail",
    {
        "ID": ("integer", "o", "ID"),
        "ENTITY_ID": ("integer", "ri", "Requisite"),
        "COUNTRY_ID": ("integer", "", "Country"),
        **_DATES,
        **_CODES,
        "ACTIVE": ("char", "", "Active"),
        "SORT": ("integer", "", "Sorting"),
        **texts(*_BANK),
    },
    _ACTIVE,
    ("ENTITY_ID",),
    event="BANKDETAIL",
    check=_require_requisite,
)
PRESET = Family(
    "crm.requisite.preset",
    "Preset",
    {
        "ID": ("integer", "o", "ID"),
        "ENTITY_TYPE_ID": ("integer", "ri", "Type of object"),
        "COUNTRY_ID": ("integer", "ri", "Country"),
        **_DATES,
        "NAME": ("string", "r", "Name"),
        "XML_ID": ("string", "", "External code"),
        "ACTIVE": ("char", "", "Active"),
        "SORT": ("integer", "", "Sorting"),
    },
    _ACTIVE,
    ("ENTITY_TYPE_ID",),
    check_delete=_require_unused,
)
METHODS: dict[str, Callable[[Call], MethodResult]] = {
    **REQUISITE.methods(),
    **BANK_DETAIL.methods(),
    **PRESET.methods(),
}
