"""Records a sweep in MLflow; what MLflow cannot take now is kept on disk and delivered later."""
