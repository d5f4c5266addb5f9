"""Methods on CRM objects."""
