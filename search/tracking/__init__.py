"""What a sweep tells MLflow, delivered when MLflow is there."""
