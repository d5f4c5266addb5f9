"""HTTP at its lowest: parameters, replies, webhooks, and protection from other sites."""
