"""`make bench`: measures Leadline against baselines in the same run; see README.md."""
