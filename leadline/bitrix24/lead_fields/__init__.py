"""The further fields of a lead, which the field map names."""
