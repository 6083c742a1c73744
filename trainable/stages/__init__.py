"""The source stage, trained once and shared by every trial that needs it."""
