"""Every setting of a trial, with its default, unit and range, and how a mistake in one reads."""
