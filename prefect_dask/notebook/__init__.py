"""What notebooks show: flows, tasks, states and runs as HTML, and a run's progress live below its cell."""
