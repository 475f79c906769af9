"""The benchmarks run, at a size at which they measure nothing."""
