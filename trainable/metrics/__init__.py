"""The scores of each task, computed from arrays: their names, their directions and their intervals. No torch here."""
