"""RabbitMQ: its connections, and the publisher with confirms."""
