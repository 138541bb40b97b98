"""A study: many tasks, models, formats and commands from one file, planned together."""
