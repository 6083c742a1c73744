"""A data set's files to checked rows and splits."""
