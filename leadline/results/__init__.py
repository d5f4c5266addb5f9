"""Results: reports to other systems what became of writes, so that no client has to poll."""
