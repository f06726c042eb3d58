"""Benchmarks of any AMQP broker by raw sockets: speed (run), memory (memory), growth (curves)."""
