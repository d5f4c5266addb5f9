"""The fields of a contact, in the order of crm.contact.get.

Documentation: crm/contacts/crm-contact-fields.md, crm/universal/object-fields.md#contact.
"""

from emulator.entities.fields.field import (
    ADDRESS,
    AUTHORS,
    FIRST_ROW_FIELDS,
    HAS_MULTIFIELDS,
    LAST_ACTIVITY,
    OBSERVERS,
    OPENED,
    ORIGIN,
    SOURCE,
    UTM,
    Field,
    directory_key,
    parent_key,
    switched_off,
)

LEAD = Field("LEAD_ID", "leadId", "Lead", "crm_lead", extra={"isReadOnly": True, **parent_key(1)})
VERSIONED_ORIGIN = (*ORIGIN, Field("ORIGIN_VERSION", "originVersion", "Version of the original"))
CATEGORY = Field("CATEGORY_ID", "categoryId", "Pipeline", "crm_category", where="i", item_default=0)

FIELDS = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field("POST", "post", "Position"),
    Field("COMMENTS", "comments", "Comment", "text"),
    Field("HONORIFIC", "honorific", "Salutation", "crm_status", extra=directory_key("HONORIFIC")),
    Field("NAME", "name", "First name", max_length=50, is_required=True),
    Field("SECOND_NAME", "secondName", "Middle name", max_length=50),
    Field("LAST_NAME", "lastName", "Last name", max_length=50, is_required=True),
    Field("PHOTO", "photo", "Photo", "file"),
    LEAD,
    Field("TYPE_ID", "typeId", "Contact type", "crm_status", extra=directory_key("CONTACT_TYPE")),
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
        is_multiple=True,
        item_default=[],
    ),
    Field("BIRTHDATE", "birthdate", "Date of birth", "date", ""),
    Field("EXPORT", "export", "In exports", "char", "Y"),
    *HAS_MULTIFIELDS,
    *AUTHORS,
    OPENED,
    *VERSIONED_ORIGIN,
    Field("FACE_ID", "faceId", "Face", "integer", where="g", is_read_only=True),
    *ADDRESS,
    *UTM,
    *LAST_ACTIVITY,
    CATEGORY,
    OBSERVERS,
    *switched_off("shortName", "address", "login", "searchContent"),
    *FIRST_ROW_FIELDS,
)
