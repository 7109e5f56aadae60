"""What a database is made of: tables, foreign keys and sequences, and what follows from them."""
