"""The connector: consumes RabbitMQ's queues and posts the messages to functions over HTTP."""
