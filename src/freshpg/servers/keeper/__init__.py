"""The process that outlives a run, ends its servers and removes what the dead left."""
