"""All settings of a trial, with default, unit and range, and the messages about mistakes in them."""
