"""The fields of a smart process's items, as its settings select them.

Documentation: crm/universal/object-fields.md#spa, crm/universal/crm-item-fields.md.
"""

from collections.abc import Mapping

from emulator.entities.fields.field import (
    AUTHORS,
    CLIENT,
    LAST_ACTIVITY,
    MONEY,
    MOVED,
    OBSERVERS,
    SOURCE,
    TAX,
    WEBFORM,
    Field,
    directory_key,
    my_company,
    switched_off,
)

BEGINNING = (
    Field("ID", "id", "ID", "integer", is_read_only=True),
    Field("TITLE", "title", "Name", max_length=255),
    Field("XML_ID", "xmlId", "External code", max_length=255),
    *AUTHORS,
    Field("OPENED", "opened", "Available to everyone", "char", "Y", is_required=True),
    WEBFORM,
)
DATES = (
    Field("BEGINDATE", "begindate", "Start date", "date"),
    Field("CLOSEDATE", "closedate", "End date", "date"),
)
CONTACTS = (
    *CLIENT,
    Field("", "contacts", "CONTACTS", "crm_contact", where="d", is_multiple=True),
)
CATEGORY = Field("CATEGORY_ID", "categoryId", "Pipeline", "crm_category")


def stages(directory: str) -> tuple[Field, ...]:
    """The stage fields of an item, whose stages are in this directory."""
    return (
        *MOVED,
        Field(
            "STAGE_ID",
            "stageId",
            "Stage",
            "crm_status",
            max_length=50,
            extra=directory_key(directory),
        ),
        Field(
            "PREVIOUS_STAGE_ID",
            "previousStageId",
            "Previous stage",
            "crm_status",
            is_read_only=True,
            extra=directory_key(directory),
        ),
    )


def fields(settings: Mapping[str, object], directory: str) -> tuple[Field, ...]:
    """The fields of the items of a smart process with these settings."""
    groups = (
        ("isBeginCloseDatesEnabled", DATES),
        ("isClientEnabled", CONTACTS),
        ("isObserversEnabled", (OBSERVERS,)),
        (None, (CATEGORY,)),  # always
        ("isStagesEnabled", stages(directory)),
        ("isSourceEnabled", SOURCE),
        ("isLinkWithProductsEnabled", (*MONEY, TAX, *_OLD_MONEY)),
        ("isMycompanyEnabled", (my_company(),)),
    )
    chosen = [field for name, group in groups for field in group if _is_on(settings, name)]
    return (*BEGINNING, *chosen, *LAST_ACTIVITY)


def _is_on(settings: Mapping[str, object], name: str | None) -> bool:
    return name is None or settings.get(name) == "Y"


_OLD_MONEY = switched_off("opportunityAccount", "taxValueAccount", "accountCurrencyId")
