"""What a stage begins with, and the source stage, trained once and shared by every trial that needs it."""
