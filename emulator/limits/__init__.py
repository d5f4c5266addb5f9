"""The three limits of the portal: requests per second, execution time, seconds per request."""
