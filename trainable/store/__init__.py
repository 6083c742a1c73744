"""Files and folders that are written atomically, and their checksums."""
