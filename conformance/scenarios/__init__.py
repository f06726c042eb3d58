"""The scenarios, one file a topic."""
