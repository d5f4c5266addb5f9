"""The fields of an estimate, in the order of crm.quote.get.

Documentation: crm/quote/crm-quote-fields.md, crm/quote/crm-quote-get.md, crm/universal/
object-fields.md#quote.
"""

from dataclasses import replace

from emulator.entities.fields.field import (
    AUTHORS,
    CLIENT,
    LAST_ACTIVITY,
    LAST_COMMUNICATION,
    MONEY,
    OPENED,
    TAX,
    UTM,
    Field,
    directory_key,
    my_company,
    switched_off,
)

_FREE_TEXTS = (("COMMENTS", "Comment"), ("CONTENT", "Content"), ("TERMS", "Terms"))
_CLIENT_TEXTS = (
    ("CLIENT_TITLE", "clientTitle", "Client"),
    ("CLIENT_ADDR", "clientAddr", "Client's address"),
    ("CLIENT_CONTACT", "clientContact", "Contact person"),
    ("CLIENT_EMAIL", "clientEmail", "Client's e-mail"),
    ("CLIENT_PHONE", "clientPhone", "Client's phone"),
    ("CLIENT_TP_ID", "clientTpId", "Client's tax id"),
    ("CLIENT_TPA_ID", "clientTpaId", "Client's tax code"),
)

FIELDS = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field("TITLE", "title", "Subject", max_length=255, is_required=True),
    Field("STATUS_ID", "stageId", "Stage", "crm_status", extra=directory_key("QUOTE_STATUS")),
    # crm.quote.* lacks the flag IS_MANUAL_OPPORTUNITY, and the type of COMPANY_ID below.
    *(replace(field, where="di") if field.kind == "char" else field for field in MONEY),
    TAX,
    *(replace(field, extra={}) if field.name == "COMPANY_ID" else field for field in CLIENT),
    my_company("fgdi"),
    Field("BEGINDATE", "begindate", "Issued", "date"),
    Field("CLOSEDATE", "closedate", "Closed on", "date"),
    Field("ACTUAL_DATE", "actualDate", "Valid until", "date"),
    *AUTHORS,
    OPENED,
    Field("CLOSED", "closed", "Closed", "char", "N"),
    *(Field(name, name.lower(), title, "text") for name, title in _FREE_TEXTS),
    *(
        Field("", f"{name.lower()}Type", title, "integer", where="di", is_read_only=True)
        for name, title in _FREE_TEXTS
    ),
    Field("LEAD_ID", "leadId", "Lead", "crm_lead"),
    Field("DEAL_ID", "dealId", "Deal", "crm_deal"),
    Field("QUOTE_NUMBER", "quoteNumber", "Number", is_read_only=True),
    Field("PERSON_TYPE_ID", "personTypeId", "Kind of client", "integer", "1"),
    Field("LOCATION_ID", "locationId", "Location", "location"),
    *(Field(*texts) for texts in _CLIENT_TEXTS),
    *UTM,
    LAST_COMMUNICATION,
    *LAST_ACTIVITY,
    *switched_off("dateCreateShort", "dateModifyShort", "begindateShort", "closedateShort"),
    *switched_off("storageTypeId", "storageElementIds", "searchContent", "hasProducts"),
)
