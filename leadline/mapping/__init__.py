"""The field map: which further fields a user has, and where each one lives in the lead."""
