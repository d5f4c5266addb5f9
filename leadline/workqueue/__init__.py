"""The work queue by user, in Redis, and the state that a portal's workers share there."""
