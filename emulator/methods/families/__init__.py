"""Methods on small records that are no CRM objects: requisites, addresses, currencies."""
