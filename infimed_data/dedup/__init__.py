"""Duplicates: rows that are the same item."""
