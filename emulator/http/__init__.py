"""Low-level HTTP: parameters, responses, webhooks, and protection from other sites."""
