"""The task library: a module per kind of work."""
