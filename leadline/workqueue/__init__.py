"""The work queue by user, in Redis, and the portal's state that all workers share there."""
