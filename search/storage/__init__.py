"""What lies in the storage folder, who may use it, and how it is opened."""
