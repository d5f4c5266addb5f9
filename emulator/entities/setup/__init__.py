"""The configuration of this portal: directories, pipelines, user fields and types of objects."""
