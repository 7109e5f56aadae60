"""``python -m freshpg`` is ``freshpg``."""

from freshpg.cli import main

raise SystemExit(main())
