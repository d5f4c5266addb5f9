"""The board: a page with objects as cards in columns by stage, updated live."""
