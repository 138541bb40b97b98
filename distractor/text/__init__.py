"""Tasks, items and prompt formats as plain text."""
