"""Methods on records that are not CRM objects: requisites, addresses, currencies."""
