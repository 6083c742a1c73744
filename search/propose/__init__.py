"""Proposes the settings of the next trial."""
