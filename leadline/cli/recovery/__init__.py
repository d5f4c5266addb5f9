"""Commands that compare everything, or restore it: reconcile, restore, restored."""
