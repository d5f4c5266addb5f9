"""The fields of a lead: their names in both APIs, types, lengths and values of a new lead."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """One field of a lead; `camel` is its name in crm.item.*, `new` its value in a new lead."""

    name: str
    camel: str
    title: str
    kind: str = "string"
    new: str | None = None
    read_only: bool = False
    max_length: int | None = None

    def described(self) -> dict[str, Any]:
        """The entry of crm.lead.fields."""
        extra = {"statusType": "STATUS"} if self.name == "STATUS_ID" else {}
        return {
            "type": self.kind,
            "isRequired": False,
            "isReadOnly": self.read_only,
            "isImmutable": False,
            "isMultiple": self.kind == "crm_multifield",
            "isDynamic": False,
            **extra,
            "title": self.title,
        }


# In the order of crm.lead.get.
_SCALARS = (
    Field("ID", "id", "ID", "integer", read_only=True),
    Field("TITLE", "title", "Lead Title", max_length=255),
    Field("HONORIFIC", "honorific", "Salutation", "crm_status"),
    Field("NAME", "name", "First Name", max_length=50),
    Field("SECOND_NAME", "secondName", "Second Name", max_length=50),
    Field("LAST_NAME", "lastName", "Last Name", max_length=50),
    Field("COMPANY_TITLE", "companyTitle", "Company Name", max_length=255),
    Field("COMPANY_ID", "companyId", "Company", "crm_company"),
    Field("CONTACT_ID", "contactId", "Contact", "crm_contact"),
    Field("IS_RETURN_CUSTOMER", "isReturnCustomer", "Repeat lead", "char", "N", read_only=True),
    Field("BIRTHDATE", "birthdate", "Date of Birth", "date", ""),
    Field("SOURCE_ID", "sourceId", "Source", "crm_status"),
    Field("SOURCE_DESCRIPTION", "sourceDescription", "Source Information"),
    Field("STATUS_ID", "stageId", "Stage", "crm_status", max_length=50),
    Field("STATUS_DESCRIPTION", "statusDescription", "Stage Information"),
    Field("POST", "post", "Position"),
    Field("COMMENTS", "comments", "Comment"),
    Field("CURRENCY_ID", "currencyId", "Currency", "crm_currency", "USD"),
    Field("OPPORTUNITY", "opportunity", "Amount", "double", "0.00"),
    Field("IS_MANUAL_OPPORTUNITY", "isManualOpportunity", "Manual amount", "char", "N"),
    Field("HAS_PHONE", "hasPhone", "Phone Provided", "char", "N", read_only=True),
    Field("HAS_EMAIL", "hasEmail", "E-mail Provided", "char", "N", read_only=True),
    Field("HAS_IMOL", "hasImol", "Open Channel Provided", "char", "N", read_only=True),
    Field("ASSIGNED_BY_ID", "assignedById", "Responsible", "user", "1"),
    Field("CREATED_BY_ID", "createdBy", "Created By", "user", "1", read_only=True),
    Field("MODIFY_BY_ID", "updatedBy", "Modified By", "user", "1", read_only=True),
    Field("DATE_CREATE", "createdTime", "Created", "datetime", read_only=True),
    Field("DATE_MODIFY", "updatedTime", "Modified", "datetime", read_only=True),
    Field("DATE_CLOSED", "closedTime", "Closed", "datetime", "", read_only=True),
    Field("STATUS_SEMANTIC_ID", "stageSemanticId", "Status Semantic", read_only=True),
    Field("OPENED", "opened", "Available to Everyone", "char", "Y"),
    Field("ORIGINATOR_ID", "originatorId", "External Source", max_length=255),
    Field("ORIGIN_ID", "originId", "Identifier in External Source", max_length=255),
    Field("MOVED_BY_ID", "movedBy", "Moved By", "user", "1", read_only=True),
    Field("MOVED_TIME", "movedTime", "Moved", "datetime", read_only=True),
    Field("ADDRESS", "address", "Address"),
    Field("ADDRESS_2", "address2", "Address (line 2)"),
    Field("ADDRESS_CITY", "addressCity", "City"),
    Field("ADDRESS_POSTAL_CODE", "addressPostalCode", "Zip"),
    Field("ADDRESS_REGION", "addressRegion", "Region"),
    Field("ADDRESS_PROVINCE", "addressProvince", "State / Province"),
    Field("ADDRESS_COUNTRY", "addressCountry", "Country"),
    Field("ADDRESS_COUNTRY_CODE", "addressCountryCode", "Country Code"),
    Field("ADDRESS_LOC_ADDR_ID", "addressLocAddrId", "Location Address ID", "integer"),
    Field("UTM_SOURCE", "utmSource", "UTM Source"),
    Field("UTM_MEDIUM", "utmMedium", "UTM Medium"),
    Field("UTM_CAMPAIGN", "utmCampaign", "UTM Campaign"),
    Field("UTM_CONTENT", "utmContent", "UTM Content"),
    Field("UTM_TERM", "utmTerm", "UTM Term"),
    Field("LAST_ACTIVITY_BY", "lastActivityBy", "Last activity by", "user", "1", read_only=True),
    Field("LAST_ACTIVITY_TIME", "lastActivityTime", "Last activity", "datetime", read_only=True),
)

MULTIFIELDS = {"PHONE": "Phone", "EMAIL": "E-mail", "WEB": "Website", "IM": "Messenger"}
FIELDS = {field.name: field for field in _SCALARS}
BY_CAMEL = {field.camel: field for field in _SCALARS}
INTEGERS = {"integer", "user", "crm_company", "crm_contact"}


def described() -> dict[str, Any]:
    """The result of crm.lead.fields."""
    many = (Field(name, "fm", title, "crm_multifield") for name, title in MULTIFIELDS.items())
    return {field.name: field.described() for field in (*_SCALARS, *many)}
