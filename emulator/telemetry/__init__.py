"""What the emulator records: journal, counts, live updates for the board."""
