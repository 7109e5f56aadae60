"""Where a server comes from: one file a provider."""
