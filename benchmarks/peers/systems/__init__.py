"""A file for each system: the shapes in its own words, written from its documentation alone."""
