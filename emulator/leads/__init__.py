"""Leads as the portal keeps them: fields, stages, multifields, storage, search."""
