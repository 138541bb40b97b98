"""What `--plan` says about the cost of a run: time, memory, and the most costly part."""
