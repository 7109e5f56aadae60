"""A proxy in front of a PostgreSQL that delays, cuts and refuses on demand."""
