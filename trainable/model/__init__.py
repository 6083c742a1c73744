"""The encoder: where it lies, what it can bear, loading, freezing, and views that compute less of it."""
