"""Results: reports the outcomes of writes to other systems, so that no client has to poll."""
