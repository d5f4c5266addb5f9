"""An emulator of Bitrix24's REST API: leads, batch, limits, events and faults, for development.

`python -m emulator` starts it; `docs/emulator.md` describes it.
"""
