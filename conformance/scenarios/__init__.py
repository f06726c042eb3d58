"""The scenarios, one file for each topic."""
