"""What the emulator records about itself: journal, counts, live updates."""
