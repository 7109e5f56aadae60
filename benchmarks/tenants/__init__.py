"""Tenant pools beside bare pools, one file a question."""
