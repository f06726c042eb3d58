"""The broker as `leveret serve` runs it, with short log segments: many are begun, compacted and deleted."""

from leveret.cli.serve import main
from leveret.store.messages import compaction
from leveret.store.messages import segments as log_segments

log_segments.SEGMENT_BYTES = 128 * 1024
compaction.COMPACTION_SPARE_SEGMENTS = 0

raise SystemExit(main())
