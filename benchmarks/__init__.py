"""`make bench`: what Leadline reaches, against baselines in the same run; see README.md here."""
