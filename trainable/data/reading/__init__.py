"""Reads the files of a data set into raw tables: file kinds, encodings, CSV quotes and separators, saved splits."""
