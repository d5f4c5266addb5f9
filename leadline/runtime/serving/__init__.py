"""How a process serves: it loads a function, answers requests, and says whether it lives."""
