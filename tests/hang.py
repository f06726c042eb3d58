"""The one time limit of everything that waits in tests: no outcome depends on it, it only ends a test that hangs."""

#: Seconds; far more than the slowest machine needs for anything that a test waits for.
HANG_SECONDS = 300.0
