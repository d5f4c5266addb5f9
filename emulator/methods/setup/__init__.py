"""Methods that configure the portal: user fields, directories, pipelines."""
