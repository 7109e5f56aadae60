"""What is there, for ``freshpg status``, ``doctor`` and ``clean``: read from keeper, servers, cache and disk."""
