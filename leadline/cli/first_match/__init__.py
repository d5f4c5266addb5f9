"""Commands of the first match with an existing CRM."""
