"""The fields of a contact and of a company, in the order of crm.contact.get, crm.company.get.

Documentation: crm/contacts/crm-contact-fields.md, crm/companies/crm-company-fields.md,
crm/universal/object-fields.md#contact and #company.
"""

from emulator.entities.fields.field import (
    ADDRESS,
    AUTHORS,
    HAS_ROWS,
    LAST_ACTIVITY,
    LAST_COMMUNICATION,
    OBSERVERS,
    OPENED,
    ORIGIN,
    ROW_TEXTS,
    SOURCE,
    UTM,
    Field,
    parent,
    status,
    switched_off,
)

_LEAD = Field("LEAD_ID", "leadId", "Lead", "crm_lead", extra={"isReadOnly": True, **parent(1)})
_ORIGIN = (*ORIGIN, Field("ORIGIN_VERSION", "originVersion", "Version of the original"))
_CATEGORY = Field(
    "CATEGORY_ID", "categoryId", "Pipeline", "crm_category", where="i", item_default=0
)

CONTACT_FIELDS = (
    Field("ID", "id", "ID", "integer", read_only=True),
    Field("POST", "post", "Position"),
    Field("COMMENTS", "comments", "Comment", "text"),
    Field("HONORIFIC", "honorific", "Salutation", "crm_status", extra=status("HONORIFIC")),
    Field("NAME", "name", "First name", max_length=50, required=True),
    Field("SECOND_NAME", "secondName", "Middle name", max_length=50),
    Field("LAST_NAME", "lastName", "Last name", max_length=50, required=True),
    Field("PHOTO", "photo", "Photo", "file"),
    _LEAD,
    Field("TYPE_ID", "typeId", "Contact type", "crm_status", extra=status("CONTACT_TYPE")),
    *SOURCE,
    Field(
        "COMPANY_ID",
        "companyId",
        "Company",
        "crm_company",
        item_default=0,
        extra={"isDeprecated": True},
    ),
    Field(
        "COMPANY_IDS",
        "companyIds",
        "Companies",
        "crm_company",
        where="fdi",
        multiple=True,
        item_default=[],
    ),
    Field("BIRTHDATE", "birthdate", "Date of birth", "date", ""),
    Field("EXPORT", "export", "In exports", "char", "Y"),
    *HAS_ROWS,
    *AUTHORS,
    OPENED,
    *_ORIGIN,
    Field("FACE_ID", "faceId", "Face", "integer", where="g", read_only=True),
    *ADDRESS,
    *UTM,
    *LAST_ACTIVITY,
    _CATEGORY,
    OBSERVERS,
    *switched_off("shortName", "address", "login", "searchContent"),
    *ROW_TEXTS,
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

COMPANY_FIELDS = (
    Field("ID", "id", "ID", "integer", read_only=True),
    Field("COMPANY_TYPE", "typeId", "Company type", "crm_status", extra=status("COMPANY_TYPE")),
    Field("TITLE", "title", "Company name", max_length=255, required=True),
    Field("LOGO", "logo", "Logo", "file"),
    _LEAD,
    *HAS_ROWS,
    *AUTHORS,
    Field("BANKING_DETAILS", "bankingDetails", "Banking details"),
    Field("INDUSTRY", "industry", "Industry", "crm_status", extra=status("INDUSTRY")),
    Field("REVENUE", "revenue", "Annual revenue", "double", "0.00"),
    Field("CURRENCY_ID", "currencyId", "Currency", "crm_currency", "USD"),
    Field("EMPLOYEES", "employees", "Employees", "crm_status", extra=status("EMPLOYEES")),
    Field("COMMENTS", "comments", "Comment", "text"),
    OPENED,
    Field("IS_MY_COMPANY", "isMyCompany", "My company", "char", "N"),
    Field(
        "CONTACT_ID",
        "contactIds",
        "Contacts",
        "crm_contact",
        where="fdi",
        multiple=True,
        item_default=[],
    ),
    *_ORIGIN,
    *ADDRESS,
    *_REGISTERED,
    *UTM,
    *LAST_ACTIVITY,
    LAST_COMMUNICATION,
    _CATEGORY,
    OBSERVERS,
    *switched_off(
        "address", "searchContent", "ufLogo", "ufStamp", "ufDirectorSign", "ufAccountantSign"
    ),
    *ROW_TEXTS,
)
