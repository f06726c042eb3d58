"""Authentication and authorisation backends that ask others: HTTP, OAuth 2, the cache. None is imported unless it is
configured."""
