"""Who may use which slot, and what the provably dead left."""
