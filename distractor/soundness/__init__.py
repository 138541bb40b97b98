"""`distractor tasks check`: is a task sound? Balance, duplicates, lengths, alignment, and what its surface gives away."""
