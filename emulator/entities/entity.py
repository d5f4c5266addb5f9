"""The types of CRM objects that this portal has."""

from dataclasses import dataclass
from functools import cached_property

from emulator.entities.fields import companies, contacts, deals, invoices, leads, quotes
from emulator.entities.fields.field import Field

#: The entityTypeId of invoices.
INVOICE_TYPE_ID = 31


@dataclass(frozen=True, eq=False)
class Entity:
    """A type of CRM object.

    `stage_field` names the field with the stage, `semantics_field` the field with the stage's
    group, `stage_directory` the directory that lists the stages; all are empty for a type without
    stages. `prefix` starts the ids of such objects in user fields of type crm.
    """

    type_id: int
    name: str
    title: str
    prefix: str
    fields: tuple[Field, ...]
    stage_field: str = ""
    semantics_field: str = ""
    stage_directory: str = ""
    has_multifields: bool = True
    #: Field and directory: crm.item.add fills the field with the directory's first entry.
    first_entry_defaults: tuple[tuple[str, str], ...] = ()
    #: Whether each pipeline has its own stages.
    has_stages_per_pipeline: bool = False
    #: Whether pipelines can be added, changed and deleted.
    has_editable_pipelines: bool = False
    #: The field that holds the number of a new object.
    number_field: str = ""
    #: The id of the smart process, which names its user fields; 0 for all other types.
    process_id: int = 0

    @cached_property
    def table(self) -> str:
        """The name of the type's table, and the middle of its methods' names (crm.lead.add)."""
        return self.name.lower()

    @cached_property
    def field_names(self) -> frozenset[str]:
        """The names of its own fields."""
        return frozenset(field.name for field in self.fields)

    @property
    def is_dynamic(self) -> bool:
        """Whether only crm.item.* offers this type: invoices and smart processes."""
        return self.type_id == INVOICE_TYPE_ID or bool(self.process_id)

    @property
    def user_field_entity_id(self) -> str:
        """The ENTITY_ID in the definitions of its user fields."""
        return f"CRM_{self.process_id or self.name}"

    def directory(self, category: object) -> str:
        """The directory of its stages in a pipeline; the general one has that of the type."""
        if not self.has_stages_per_pipeline or category in (None, "", 0, "0"):
            return self.stage_directory
        return f"{self.stage_directory}_{category}"

    def stage_prefix(self, category: int) -> str:
        """The prefix of the codes of a pipeline's stages; the general pipeline (0) has none."""
        if not category:
            return ""
        return f"DT{self.type_id}_{category}:" if self.is_dynamic else f"C{category}:"

    def event_name(self, verb: str) -> str:
        """The name of a write's event: ONCRMLEADADD for the verb ADD."""
        return f"ONCRM{'DYNAMICITEM' if self.is_dynamic else self.name}{verb}"


LEAD = Entity(
    type_id=1,
    name="LEAD",
    title="Lead",
    prefix="L",
    fields=leads.FIELDS,
    stage_field="STATUS_ID",
    semantics_field="STATUS_SEMANTIC_ID",
    stage_directory="STATUS",
    first_entry_defaults=(("SOURCE_ID", "SOURCE"),),
)
DEAL = Entity(
    type_id=2,
    name="DEAL",
    title="Deal",
    prefix="D",
    fields=deals.FIELDS,
    stage_field="STAGE_ID",
    semantics_field="STAGE_SEMANTIC_ID",
    stage_directory="DEAL_STAGE",
    has_multifields=False,
    first_entry_defaults=(("TYPE_ID", "DEAL_TYPE"), ("SOURCE_ID", "SOURCE")),
    has_stages_per_pipeline=True,
    has_editable_pipelines=True,
)
CONTACT = Entity(
    type_id=3,
    name="CONTACT",
    title="Contact",
    prefix="C",
    fields=contacts.FIELDS,
    first_entry_defaults=(("TYPE_ID", "CONTACT_TYPE"), ("SOURCE_ID", "SOURCE")),
)
COMPANY = Entity(
    type_id=4,
    name="COMPANY",
    title="Company",
    prefix="CO",
    fields=companies.FIELDS,
    first_entry_defaults=(
        ("COMPANY_TYPE", "COMPANY_TYPE"),
        ("INDUSTRY", "INDUSTRY"),
        ("EMPLOYEES", "EMPLOYEES"),
    ),
)

QUOTE = Entity(
    type_id=7,
    name="QUOTE",
    title="Estimate",
    prefix="Q",
    fields=quotes.FIELDS,
    stage_field="STATUS_ID",
    semantics_field="STATUS_SEMANTIC_ID",
    stage_directory="QUOTE_STATUS",
    has_multifields=False,
    number_field="QUOTE_NUMBER",
)
INVOICE = Entity(
    type_id=INVOICE_TYPE_ID,
    name="SMART_INVOICE",
    title="Invoice",
    prefix="SI",
    fields=invoices.FIELDS,
    stage_field="STAGE_ID",
    semantics_field="STAGE_SEMANTIC_ID",
    stage_directory="SMART_INVOICE_STAGE",
    has_multifields=False,
    number_field="ACCOUNT_NUMBER",
    has_stages_per_pipeline=True,
)

#: The types with their own methods, such as crm.lead.add.
ENTITIES = (LEAD, DEAL, CONTACT, COMPANY, QUOTE)
#: The types that every portal has.
BUILT_IN = (*ENTITIES, INVOICE)
#: Events of all objects.
EVENTS = tuple(
    dict.fromkeys(
        entity.event_name(verb) for entity in BUILT_IN for verb in ("ADD", "UPDATE", "DELETE")
    )
)
