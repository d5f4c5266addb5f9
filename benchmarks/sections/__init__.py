"""One module per section: it measures plain data and renders its chapter."""
