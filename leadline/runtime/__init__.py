"""What every process stands on: settings, logs, HTTP, Postgres, RabbitMQ and Redis."""
