"""The native runner: private servers and every process of Leadline, without containers."""
