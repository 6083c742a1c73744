"""The obvious answers to a target task, trained in seconds: majority class, TF-IDF, regression on frozen features."""
