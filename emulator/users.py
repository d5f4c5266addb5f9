"""The users of the emulated portal: an administrator, a manager, and a dismissed employee.

Users 1 and 2 have webhooks (`http/webhooks.py`).
"""

from typing import Any


def _user(
    user_id: int, name: str, last_name: str, position: str, *, active: bool = True
) -> dict[str, Any]:
    return {
        "ID": str(user_id),
        "ACTIVE": active,
        "NAME": name,
        "LAST_NAME": last_name,
        "SECOND_NAME": "",
        "EMAIL": f"{name.lower()}@example.com",
        "LAST_LOGIN": "2026-01-05T09:00:00+03:00",
        "DATE_REGISTER": "2026-01-01T00:00:00+03:00",
        "TIME_ZONE": "",
        "IS_ONLINE": "Y" if user_id == 1 else "N",
        "TIMESTAMP_X": {},
        "LAST_ACTIVITY_DATE": {},
        "PERSONAL_GENDER": "",
        "PERSONAL_WWW": "",
        "PERSONAL_BIRTHDAY": "",
        "PERSONAL_MOBILE": "",
        "PERSONAL_CITY": "",
        "WORK_PHONE": "",
        "WORK_POSITION": position,
        "UF_EMPLOYMENT_DATE": "",
        "UF_DEPARTMENT": [1],
        "USER_TYPE": "employee",
    }


#: The administrator's id.
ADMIN = 1
USERS = {
    int(user["ID"]): user
    for user in (
        _user(1, "John", "Doe", "Director"),
        _user(2, "Mary", "Major", "Sales manager"),
        _user(3, "Richard", "Roe", "Sales manager", active=False),
    )
}
#: The fields of user.current.
CURRENT_USER_FIELDS = (
    *("ID", "ACTIVE", "NAME", "LAST_NAME", "EMAIL", "LAST_LOGIN", "DATE_REGISTER", "IS_ONLINE"),
    *("LAST_ACTIVITY_DATE", "PERSONAL_GENDER", "PERSONAL_BIRTHDAY", "WORK_POSITION"),
    *("UF_EMPLOYMENT_DATE", "UF_DEPARTMENT"),
)
#: The fields of user.fields, with their labels.
USER_FIELDS = {
    "ID": "ID",
    "XML_ID": "External code",
    "ACTIVE": "Active",
    "NAME": "First name",
    "LAST_NAME": "Last name",
    "SECOND_NAME": "Middle name",
    "TITLE": "Title",
    "EMAIL": "E-mail",
    "LAST_LOGIN": "Last login",
    "DATE_REGISTER": "Registered",
    "TIME_ZONE": "Time zone",
    "IS_ONLINE": "Online",
    "TIMESTAMP_X": "Changed",
    "LAST_ACTIVITY_DATE": "Last activity",
    **{
        f"PERSONAL_{name}": f"Personal: {name.lower()}"
        for name in (
            "GENDER",
            "PROFESSION",
            "WWW",
            "BIRTHDAY",
            "PHOTO",
            "ICQ",
            "PHONE",
            "FAX",
            "MOBILE",
            "PAGER",
            "STREET",
            "CITY",
            "STATE",
            "ZIP",
            "COUNTRY",
            "MAILBOX",
            "NOTES",
        )
    },
    **{
        f"WORK_{name}": f"Work: {name.lower()}"
        for name in (
            "PHONE",
            "COMPANY",
            "POSITION",
            "DEPARTMENT",
            "WWW",
            "FAX",
            "PAGER",
            "STREET",
            "MAILBOX",
            "CITY",
            "STATE",
            "ZIP",
            "COUNTRY",
            "PROFILE",
            "LOGO",
            "NOTES",
        )
    },
    **{
        f"UF_{name}": name.replace("_", " ").capitalize()
        for name in (
            "SKYPE_LINK",
            "ZOOM",
            "EMPLOYMENT_DATE",
            "TIMEMAN",
            "DEPARTMENT",
            "INTERESTS",
            "SKILLS",
            "WEB_SITES",
            "XING",
            "LINKEDIN",
            "TWITTER",
            "SKYPE",
            "DISTRICT",
            "PHONE_INNER",
        )
    },
    "USER_TYPE": "Type",
}
