"""CRM objects: leads, deals, contacts and companies; fields, storage, search, and their views."""
