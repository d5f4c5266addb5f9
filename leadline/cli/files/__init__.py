"""Files that commands read and write: imports, CSV cells, checkpoints."""
