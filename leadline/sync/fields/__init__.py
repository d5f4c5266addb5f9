"""The field map against the portal: what it would not take, and fields that a call refused."""
