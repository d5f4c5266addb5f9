"""The command line, `leadline`: a module for each command or group of commands."""
