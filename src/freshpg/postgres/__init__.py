"""How freshpg talks to PostgreSQL for control work."""
