"""What all probes share: forward passes with reads and edits, activation patching, readings and their statistics."""
