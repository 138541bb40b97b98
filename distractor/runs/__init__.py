"""What a run writes, for all commands: its folder, manifest, tables, and the style and shared kinds of figures."""
