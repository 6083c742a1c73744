"""The files of the storage folder: their paths, their locks, and how they are opened."""
