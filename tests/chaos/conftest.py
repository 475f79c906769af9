"""Chaos needs signals that stop processes, and limits that are set from outside."""

import sys

collect_ignore_glob = [] if sys.platform == "linux" else ["test_*.py"]
