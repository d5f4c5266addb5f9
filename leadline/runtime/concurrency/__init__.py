"""How requests share a process: greenlets on one loop, and statements that share a commit."""
