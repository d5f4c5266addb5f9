"""From an event to a settled lead: enqueueing, jobs, workers, decisions and replies."""
