"""Folders, manifests, tables and figure style shared by all commands."""
