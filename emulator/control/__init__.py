"""The control API under /_emulator: settings, faults, counts and oracles.

It is never counted, limited or broken by a fault.
"""
