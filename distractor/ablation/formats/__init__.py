"""One task in several prompt formats, side by side."""
