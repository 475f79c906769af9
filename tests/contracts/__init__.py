"""What every executor must do, tested once and run on each of them."""
