"""`python -m leveret`."""

import sys

from leveret.cli.main import main

raise SystemExit(main(sys.argv[1:]))
