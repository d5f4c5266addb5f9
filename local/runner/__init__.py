"""The native runner: private servers, every process of Leadline, one command, no containers."""
