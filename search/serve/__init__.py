"""An exported folder that answers other programs: over HTTP, and as a registered MLflow model."""
