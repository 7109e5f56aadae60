"""What keeps one test from the next: one file a level, behind one interface."""
