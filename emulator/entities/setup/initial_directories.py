"""The directories of a new portal, and the stages of a new pipeline.

The items of DEAL_STAGE and SOURCE are those of the documentation's examples (crm/status/).
"""

from collections.abc import Iterable
from dataclasses import replace

from emulator.entities.entity import DEAL, INVOICE, QUOTE, Entity
from emulator.entities.setup.directory_item import DirectoryItem

#: Code, name, color, semantics, and whether the stage is a system item.
_Stage = tuple[str, str, str, str, bool]


def initial_directories() -> list[DirectoryItem]:
    """The directories of a new portal."""
    leads = [
        DirectoryItem(1, "STATUS", "NEW", "Not processed", 10, "#00FFFF"),
        DirectoryItem(3, "STATUS", "IN_PROCESS", "In progress", 20, "#2FC6F6"),
        DirectoryItem(5, "STATUS", "PROCESSED", "Processed", 30, "#55D0E0"),
        DirectoryItem(
            19, "STATUS", "UC_ZA04R1", "Waiting for documents", 40, "#FFA900", system=False
        ),
        DirectoryItem(15, "STATUS", "CONVERTED", "Converted", 50, "#37B44A", "S"),
        DirectoryItem(17, "STATUS", "JUNK", "Low-quality lead", 60, "#F54819", "F"),
    ]
    deals = _stages(DEAL.stage_directory, _DEAL_STAGES, 101)
    next_id = 201
    others: list[DirectoryItem] = []
    for entity_id, items in _OTHERS.items():
        for index, (code, name) in enumerate(items.items(), 1):
            others.append(DirectoryItem(next_id, entity_id, code, name, 10 * index))
            next_id += 2
    quotes = _stages(QUOTE.stage_directory, _QUOTE_STAGES, next_id)
    return [*sorted(leads, key=lambda item: item.id), *deals, *others, *quotes]


def initial_stages(entity: Entity, category_id: int) -> list[DirectoryItem]:
    """The stages of a new pipeline, still without ids."""
    stages_by_type = {DEAL.type_id: _DEAL_STAGES, INVOICE.type_id: _INVOICE_STAGES}
    stages = stages_by_type.get(entity.type_id, _PROCESS_STAGES)
    prefix = entity.stage_prefix(category_id)
    return [
        replace(stage, id=0, status=prefix + stage.status, category_id=category_id)
        for stage in _stages(entity.directory(category_id), stages, 0)
    ]


def _stages(entity_id: str, stages: Iterable[_Stage], first_id: int) -> list[DirectoryItem]:
    """Stages as items with ids from `first_id`, two apart as on real portals."""
    return [
        DirectoryItem(
            first_id + 2 * index, entity_id, code, name, 10 * (index + 1), color, semantics, system
        )
        for index, (code, name, color, semantics, system) in enumerate(stages)
    ]


_DEAL_STAGES = (
    ("NEW", "New", "#39A8EF", "", True),
    ("PREPARATION", "Documents", "#2FC6F6", "", False),
    ("PREPAYMENT_INVOICE", "Prepayment", "#55D0E0", "", False),
    ("EXECUTING", "In progress", "#47E4C2", "", False),
    ("FINAL_INVOICE", "Final invoice", "#FFA900", "", False),
    ("WON", "Won", "#7BD500", "S", True),
    ("LOSE", "Lost", "#FF5752", "F", True),
    ("APOLOGY", "Reason of the loss", "#FF5752", "F", False),
)
_QUOTE_STAGES = (
    ("DRAFT", "New", "#39A8EF", "", True),
    ("SENT", "Sent to the client", "#2FC6F6", "", False),
    ("UNANSWERED", "No answer", "#FFA900", "", False),
    ("APPROVED", "Accepted", "#7BD500", "S", True),
    ("DECLAINED", "Declined", "#FF5752", "F", True),
)
_INVOICE_STAGES = (
    ("N", "New", "#39A8EF", "", True),
    ("S", "Sent to the client", "#2FC6F6", "", False),
    ("P", "Paid", "#7BD500", "S", True),
    ("D", "Not paid", "#FF5752", "F", True),
)
_PROCESS_STAGES = (
    ("NEW", "Beginning", "#22B9FF", "", True),
    ("PREPARATION", "Preparation", "#88B9FF", "", False),
    ("CLIENT", "Agreement with the client", "#10E5FC", "", False),
    ("SUCCESS", "Success", "#00FF00", "S", True),
    ("FAIL", "Failure", "#FF0000", "F", True),
)
_OTHERS = {
    "SOURCE": {
        "CALL": "Call",
        "EMAIL": "E-mail",
        "WEB": "Website",
        "ADVERTISING": "Advertising",
        "PARTNER": "Existing client",
        "RECOMMENDATION": "Recommendation",
        "TRADE_SHOW": "Trade show",
        "WEBFORM": "CRM form",
        "CALLBACK": "Callback",
        "RC_GENERATOR": "Sales generator",
        "STORE": "Online store",
        "OTHER": "Other",
    },
    "HONORIFIC": {"HNR_EN_1": "Mr.", "HNR_EN_2": "Mrs.", "HNR_EN_3": "Ms.", "HNR_EN_4": "Dr."},
    "CONTACT_TYPE": {
        "CLIENT": "Client",
        "SUPPLIER": "Supplier",
        "PARTNER": "Partner",
        "OTHER": "Other",
    },
    "COMPANY_TYPE": {
        "CUSTOMER": "Client",
        "SUPPLIER": "Supplier",
        "COMPETITOR": "Competitor",
        "PARTNER": "Partner",
        "OTHER": "Other",
    },
    "EMPLOYEES": {
        "EMPLOYEES_1": "Fewer than 50",
        "EMPLOYEES_2": "50 to 250",
        "EMPLOYEES_3": "250 to 500",
        "EMPLOYEES_4": "More than 500",
    },
    "INDUSTRY": {
        "IT": "Information technology",
        "TELECOM": "Telecommunications",
        "MANUFACTURING": "Manufacturing",
        "BANKING": "Banking",
        "CONSULTING": "Consulting",
        "FINANCE": "Finance",
        "GOVERNMENT": "Government",
        "DELIVERY": "Delivery",
        "ENTERTAINMENT": "Entertainment",
        "NOTPROFIT": "Non-profit",
        "OTHER": "Other",
    },
    "DEAL_TYPE": {
        "SALE": "Sale",
        "COMPLEX": "Complex sale",
        "GOODS": "Goods",
        "SERVICES": "Services",
        "SERVICE": "After-sales service",
    },
}
