"""Tests why language models get worse and then better with size: true task, distractor task, behaviour, mechanism."""

__version__ = "0.2.0"
