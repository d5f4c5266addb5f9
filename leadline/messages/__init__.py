"""The wire contract: messages, their attributes and the queue topology."""
