"""`python -m leveret`."""

from leveret.cli.serve import main

raise SystemExit(main())
