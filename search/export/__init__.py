"""The winning model as a folder, its card, and its predictions."""
