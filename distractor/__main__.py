"""Runs the command line with `python -m distractor`."""

from distractor.command_line.main import main

if __name__ == "__main__":
    main()
