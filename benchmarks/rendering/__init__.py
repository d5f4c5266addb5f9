"""Figures as text: medians with their spread, tables and plots."""
