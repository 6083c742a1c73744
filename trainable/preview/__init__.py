"""Previews: the numbers of a data set, and a dry run of one batch through each stage."""
