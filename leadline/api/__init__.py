"""What clients see of HTTP: paths and headers, the API's description, the console's answers."""
