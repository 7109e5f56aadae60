"""A library that remembers who had which book."""
