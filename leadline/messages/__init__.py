"""The contract on the wire: messages, queues, and the connector that delivers them."""
