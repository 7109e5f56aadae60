"""The kernel: decides, never does I/O, knows nothing of PostgreSQL connections."""
