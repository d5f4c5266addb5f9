"""The fields of a lead, in the order of crm.lead.get.

Documentation: crm/leads/crm-lead-fields.md, crm/leads/crm-lead-get.md, crm/universal/
object-fields.md#lead.
"""

from emulator.entities.fields.field import (
    ADDRESS,
    AUTHORS,
    CLIENT,
    FIRST_ROW_FIELDS,
    HAS_MULTIFIELDS,
    LAST_ACTIVITY,
    MONEY,
    MOVED,
    OBSERVERS,
    OPENED,
    ORIGIN,
    SOURCE,
    UTM,
    WEBFORM,
    Field,
    directory_key,
    switched_off,
)

FIELDS = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field("TITLE", "title", "Lead title", max_length=255),
    Field("HONORIFIC", "honorific", "Salutation", "crm_status", extra=directory_key("HONORIFIC")),
    Field("NAME", "name", "First name", max_length=50),
    Field("SECOND_NAME", "secondName", "Middle name", max_length=50),
    Field("LAST_NAME", "lastName", "Last name", max_length=50),
    Field("COMPANY_TITLE", "companyTitle", "Company name", max_length=255),
    *CLIENT,
    Field("IS_RETURN_CUSTOMER", "isReturnCustomer", "Repeat lead", "char", "N", is_read_only=True),
    Field("BIRTHDATE", "birthdate", "Date of birth", "date", ""),
    *SOURCE,
    Field(
        "STATUS_ID", "stageId", "Stage", "crm_status", max_length=50, extra=directory_key("STATUS")
    ),
    Field("STATUS_DESCRIPTION", "statusDescription", "Stage information", "text"),
    Field("POST", "post", "Position"),
    Field("COMMENTS", "comments", "Comment", "text"),
    *MONEY,
    *HAS_MULTIFIELDS,
    *AUTHORS,
    Field("DATE_CLOSED", "dateClosed", "Closed", "datetime", "", is_read_only=True),
    Field("STATUS_SEMANTIC_ID", "stageSemanticId", "Stage group", is_read_only=True),
    OPENED,
    *ORIGIN,
    *MOVED,
    *ADDRESS,
    *UTM,
    *LAST_ACTIVITY,
    WEBFORM,
    OBSERVERS,
    *switched_off("dateCreateShort", "dateModifyShort", "isConvert", "productId", "shortName"),
    *switched_off("address", "login", "searchContent", "skype", "icq"),
    *FIRST_ROW_FIELDS,
)
