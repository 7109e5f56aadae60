"""Does a leased database still equal its template? The questions, and the answers as data."""
