"""The fields of a deal, in the order of crm.deal.get.

Documentation: crm/deals/crm-deal-fields.md, crm/deals/crm-deal-get.md, crm/universal/
object-fields.md#deal.
"""

from emulator.entities.fields.field import (
    AUTHORS,
    CLIENT,
    LAST_ACTIVITY,
    MONEY,
    MOVED,
    OBSERVERS,
    OPENED,
    ORIGIN,
    SOURCE,
    TAX,
    UTM,
    WEBFORM,
    Field,
    directory_key,
    parent_key,
    switched_off,
)


def _yes_no(name: str, camel: str, title: str, *, is_read_only: bool = False) -> Field:
    return Field(name, camel, title, "char", "N", is_read_only=is_read_only)


FIELDS = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field("TITLE", "title", "Title", max_length=255),
    Field("TYPE_ID", "typeId", "Type", "crm_status", extra=directory_key("DEAL_TYPE")),
    Field(
        "STAGE_ID",
        "stageId",
        "Deal stage",
        "crm_status",
        max_length=50,
        extra=directory_key("DEAL_STAGE"),
    ),
    Field("PROBABILITY", "probability", "Probability", "integer"),
    *MONEY,
    TAX,
    Field("LEAD_ID", "leadId", "Lead", "crm_lead", extra={"isReadOnly": True, **parent_key(1)}),
    *CLIENT,
    Field(
        "QUOTE_ID", "quoteId", "Estimate", "crm_quote", extra={"isReadOnly": True, **parent_key(7)}
    ),
    Field("BEGINDATE", "begindate", "Start date", "date"),
    Field("CLOSEDATE", "closedate", "Close date", "date"),
    *AUTHORS,
    OPENED,
    _yes_no("CLOSED", "closed", "Closed"),
    Field("COMMENTS", "comments", "Comment", "text"),
    Field("ADDITIONAL_INFO", "additionalInfo", "Additional information"),
    Field("LOCATION_ID", "locationId", "Location", "location"),
    Field("CATEGORY_ID", "categoryId", "Pipeline", "crm_category", "0", is_immutable=True),
    Field("STAGE_SEMANTIC_ID", "stageSemanticId", "Stage group", is_read_only=True),
    _yes_no("IS_NEW", "isNew", "New deal", is_read_only=True),
    _yes_no("IS_RECURRING", "isRecurring", "Recurring deal"),
    _yes_no("IS_RETURN_CUSTOMER", "isReturnCustomer", "Repeat deal"),
    _yes_no("IS_REPEATED_APPROACH", "isRepeatedApproach", "Repeated approach"),
    *SOURCE,
    *ORIGIN,
    *MOVED,
    *UTM,
    *LAST_ACTIVITY,
    WEBFORM,
    OBSERVERS,
    *switched_off("dateCreateShort", "dateModifyShort", "productId", "begindateShort"),
    *switched_off("closedateShort", "eventDate", "eventDateShort", "eventId", "eventDescription"),
    *switched_off("searchContent", "orderStage", "isWork", "isWon", "isLose"),
    *switched_off("receivedAmount", "lostAmount", "hasProducts"),
)
