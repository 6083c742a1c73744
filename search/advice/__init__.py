"""What a finished sweep says about the next one: findings, each with its evidence and the settings that it changes.

`findings` gives them; the report prints them, and `transfersweep suggest` writes the next experiment from them.
"""
