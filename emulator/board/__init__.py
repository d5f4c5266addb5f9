"""The board: leads as cards in columns, live."""
