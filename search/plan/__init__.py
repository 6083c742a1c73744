"""An experiment file, checked and joined, and the folder of its sweep."""
