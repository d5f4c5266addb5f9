"""What measures, what generates load, and what is measured: servers, functions, whole systems."""
