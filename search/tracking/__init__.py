"""Records a sweep in MLflow; events that MLflow cannot receive now are kept on disk and delivered later."""
