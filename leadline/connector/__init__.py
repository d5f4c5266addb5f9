"""The connector: messages out of RabbitMQ's queues, by HTTP into functions."""
