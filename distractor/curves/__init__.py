"""Anyone's curve: read from a file, tested beside other procedures, labelled, and held against published ones."""
