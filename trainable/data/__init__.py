"""Reads the files of a data set and turns them into checked train, validation and test splits.

Start with `read_splits.py`. A row passes through it once: file, raw table, texts, label, split, checks.
"""
