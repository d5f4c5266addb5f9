"""What the portal sends about written leads, at once or when it is fetched."""
