"""What the benchmarks share: shapes of graphs, places to run them, rows of the table, facts of the machine."""
