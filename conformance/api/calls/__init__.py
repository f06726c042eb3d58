"""The calls: one file with `CALLS` for each area. What an area makes, it deletes."""
