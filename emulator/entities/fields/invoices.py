"""The fields of an invoice. Documentation: crm/universal/object-fields.md#invoice."""

from emulator.entities.fields.field import (
    LAST_ACTIVITY,
    MONEY,
    OBSERVERS,
    SOURCE,
    TAX,
    Field,
    my_company,
)
from emulator.entities.fields.smart_processes import BEGINNING, CATEGORY, CONTACTS, DATES, stages

FIELDS = (
    *BEGINNING,
    *DATES,
    *CONTACTS,
    OBSERVERS,
    CATEGORY,
    *stages("SMART_INVOICE_STAGE_1"),  # those of the first pipeline
    *SOURCE,
    *MONEY,
    TAX,
    my_company(),
    Field("COMMENTS", "comments", "Comment", "text"),
    Field("ACCOUNT_NUMBER", "accountNumber", "Number", max_length=100),
    Field("LOCATION_ID", "locationId", "Location", "location"),
    *LAST_ACTIVITY,
)
