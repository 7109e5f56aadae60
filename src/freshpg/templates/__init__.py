"""Templates: sealed databases, each built once from a blueprint and cloned often."""
