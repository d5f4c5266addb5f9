"""Events of CRM objects: sent to handlers, or queued for applications that poll."""
