"""Tests with faults: a package, as the bench that they share ends with the last of them."""
