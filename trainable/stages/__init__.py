"""The data and model with which a stage begins, and the cache of source stages that trials share."""
