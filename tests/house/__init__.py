"""The house itself: what stands where, what may import what, what is shipped."""
