"""The base of every process: HTTP, serving, Postgres, RabbitMQ, Redis and telemetry."""
