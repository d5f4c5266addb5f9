"""The field map and the portal: periodic checks, and fields that the portal refused."""
