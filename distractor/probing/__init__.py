"""Forward passes with reads and edits, and what every probe needs."""
