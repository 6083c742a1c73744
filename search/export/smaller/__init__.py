"""Makes an exported model smaller or faster: a change, its proof, and score, size and times before and after it."""
