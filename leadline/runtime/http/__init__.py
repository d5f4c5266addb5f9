"""HTTP for every function: authentication, rate limits, errors as problem details."""
