"""The sweep: joins spaces and trials, drives Ray Tune, records to MLflow, reports and exports."""
