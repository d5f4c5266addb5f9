"""Methods on how the portal is set up: user fields, directories, pipelines."""
