"""Other formats than the bare prompt: worked examples, chat, free text, chains of thought, and formats side by side."""
