"""From an event to a settled lead: the work queue by user, its jobs, workers and replies."""
