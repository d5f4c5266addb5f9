"""The fields of a company, in the order of crm.company.get.

Documentation: crm/companies/crm-company-fields.md, crm/universal/object-fields.md#company.
"""

from emulator.entities.fields.contacts import CATEGORY, LEAD, VERSIONED_ORIGIN
from emulator.entities.fields.field import (
    ADDRESS,
    AUTHORS,
    FIRST_ROW_FIELDS,
    HAS_MULTIFIELDS,
    LAST_ACTIVITY,
    LAST_COMMUNICATION,
    OBSERVERS,
    OPENED,
    UTM,
    Field,
    directory_key,
    switched_off,
)

_REGISTERED = (
    Field("ADDRESS_LEGAL", "addressLegal", "Legal address", where="fgi"),
    *(
        Field(
            f"REG_{field.name}",
            f"reg{field.camel[:1].upper()}{field.camel[1:]}",
            field.title,
            field.kind,
            where="fg",
        )
        for field in ADDRESS
    ),
)

FIELDS = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field(
        "COMPANY_TYPE", "typeId", "Company type", "crm_status", extra=directory_key("COMPANY_TYPE")
    ),
    Field("TITLE", "title", "Company name", max_length=255, is_required=True),
    Field("LOGO", "logo", "Logo", "file"),
    LEAD,
    *HAS_MULTIFIELDS,
    *AUTHORS,
    Field("BANKING_DETAILS", "bankingDetails", "Banking details"),
    Field("INDUSTRY", "industry", "Industry", "crm_status", extra=directory_key("INDUSTRY")),
    Field("REVENUE", "revenue", "Annual revenue", "double", "0.00"),
    Field("CURRENCY_ID", "currencyId", "Currency", "crm_currency", "USD"),
    Field("EMPLOYEES", "employees", "Employees", "crm_status", extra=directory_key("EMPLOYEES")),
    Field("COMMENTS", "comments", "Comment", "text"),
    OPENED,
    Field("IS_MY_COMPANY", "isMyCompany", "My company", "char", "N"),
    Field(
        "CONTACT_ID",
        "contactIds",
        "Contacts",
        "crm_contact",
        where="fdi",
        is_multiple=True,
        item_default=[],
    ),
    *VERSIONED_ORIGIN,
    *ADDRESS,
    *_REGISTERED,
    *UTM,
    *LAST_ACTIVITY,
    LAST_COMMUNICATION,
    CATEGORY,
    OBSERVERS,
    *switched_off(
        "address", "searchContent", "ufLogo", "ufStamp", "ufDirectorSign", "ufAccountantSign"
    ),
    *FIRST_ROW_FIELDS,
)
