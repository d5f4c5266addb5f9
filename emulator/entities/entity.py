"""The types of CRM objects that this portal has."""

from dataclasses import dataclass

from emulator.entities.fields import contacts, deals, leads
from emulator.entities.fields.field import Field


@dataclass(frozen=True, eq=False)
class Entity:
    """A type of CRM object.

    `stage` is the field of its stage, `semantics` of the stage's group, `stages` the directory of
    its stages. `prefix` begins the ids of an object of this type in user fields of type crm.
    """

    type_id: int
    name: str
    title: str
    prefix: str
    fields: tuple[Field, ...]
    stage: str = ""
    semantics: str = ""
    stages: str = ""
    has_rows: bool = True
    #: Fields that crm.item.add fills with the first item of a directory.
    first_items: tuple[tuple[str, str], ...] = ()

    @property
    def table(self) -> str:
        """Its table, and the middle of its methods' names."""
        return self.name.lower()

    @property
    def user_fields(self) -> str:
        """The ENTITY_ID of its user fields."""
        return f"CRM_{self.name}"

    def event(self, verb: str) -> str:
        """The name of an event: ONCRMLEADADD."""
        return f"ONCRM{self.name}{verb}"


LEAD = Entity(
    1,
    "LEAD",
    "Lead",
    "L",
    leads.FIELDS,
    "STATUS_ID",
    "STATUS_SEMANTIC_ID",
    "STATUS",
    first_items=(("SOURCE_ID", "SOURCE"),),
)
DEAL = Entity(
    2,
    "DEAL",
    "Deal",
    "D",
    deals.FIELDS,
    "STAGE_ID",
    "STAGE_SEMANTIC_ID",
    "DEAL_STAGE",
    has_rows=False,
    first_items=(("TYPE_ID", "DEAL_TYPE"), ("SOURCE_ID", "SOURCE")),
)
CONTACT = Entity(
    3,
    "CONTACT",
    "Contact",
    "C",
    contacts.CONTACT_FIELDS,
    first_items=(("TYPE_ID", "CONTACT_TYPE"), ("SOURCE_ID", "SOURCE")),
)
COMPANY = Entity(
    4,
    "COMPANY",
    "Company",
    "CO",
    contacts.COMPANY_FIELDS,
    first_items=(
        ("COMPANY_TYPE", "COMPANY_TYPE"),
        ("INDUSTRY", "INDUSTRY"),
        ("EMPLOYEES", "EMPLOYEES"),
    ),
)

ENTITIES = (LEAD, DEAL, CONTACT, COMPANY)
BY_TYPE_ID = {entity.type_id: entity for entity in ENTITIES}
BY_NAME = {entity.name: entity for entity in ENTITIES}
#: Events of all objects.
EVENTS = tuple(entity.event(verb) for entity in ENTITIES for verb in ("ADD", "UPDATE", "DELETE"))
