"""The encoder: its folder, its limits, loading, freezing, and views of a model that compute less."""
