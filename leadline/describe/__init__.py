"""The contracts as documents that programs read: OpenAPI for HTTP, AsyncAPI for the messages."""
