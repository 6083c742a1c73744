"""Starting or joining Ray, and what each node says of itself."""
