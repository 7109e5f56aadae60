"""Reading what PostgreSQL wrote to its write-ahead log: which relations of one database changed since a position."""
