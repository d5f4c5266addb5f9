"""The timeline of CRM objects: comments, notes, entries, activities."""
