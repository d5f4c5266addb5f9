"""`leadline doctor`: its checks."""
