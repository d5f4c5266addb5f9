"""Lead events: sent to handlers, or queued for applications that poll."""
