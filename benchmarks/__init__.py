"""What freshpg costs, beside its peers and the raw server: ``python -m benchmarks --help``."""
