"""Level ``rollback``: everything a test does on its one connection lies in a transaction that is rolled back."""
