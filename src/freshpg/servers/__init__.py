"""Everything that runs or knows PostgreSQL processes and data directories."""
