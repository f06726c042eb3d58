"""Several nodes: each virtual host is owned by one of them, and its log is replicated by another system.

Nothing here is imported by a node without a cluster.
"""
