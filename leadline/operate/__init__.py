"""The command line `leadline`: what operators ask and tell the system, one module a command."""
