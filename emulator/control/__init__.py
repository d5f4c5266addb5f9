"""The control API under /_emulator: settings, faults, leads and statistics.

Its calls are never counted, limited or affected by faults.
"""
