"""Runs that are disturbed at random, by a seed, and what must hold all the same."""
