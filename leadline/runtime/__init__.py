"""What every process builds on: HTTP, serving, Postgres, RabbitMQ, Redis and telemetry."""
