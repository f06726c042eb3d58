"""The broker as `leveret serve` runs it, with segments so short that they are rolled, rewritten and dropped
all the time."""

from leveret.cli.serve import main
from leveret.store import rewriting, segments

segments.SEGMENT = 128 * 1024
rewriting.SPARE = 0

raise SystemExit(main())
