cimport cython
from leveret.queues.backlog.paging cimport BacklogBlock, Pager
from leveret.queues.backlog.ready cimport Backlog
from leveret.store.messages.log cimport DiskQueueJournal
from leveret.store.messages.positions cimport Positions
from leveret.store.messages.records cimport RecordReader
from leveret.wire.frames cimport Outbox

@cython.final
cdef class BlockRun:
    cdef public object target
    cdef public Pager pager
    cdef public list blocks
    cdef Outbox out
    cdef Py_ssize_t count
    cdef long long bodies
    cdef public unsigned long long last
    cdef bint has_ttl
    cpdef void close(self) except *

@cython.final
cdef class QueueScan:
    cdef public DiskQueueJournal queue_journal
    cdef public object target
    cdef public Backlog backlog
    cdef public Positions settled
    cdef public dict settled_in
    cdef public Positions delivered_marks
    cdef public dict counts
    cdef public unsigned long long last
    cdef public dict levels
    cdef BlockRun run(self, Py_ssize_t level, unsigned long long position)

@cython.final
cdef class LogScan:
    cdef public dict queues
    cdef public set dropped
    cdef public dict duplicates
    cdef public set needs
    cdef public dict marks
    cdef public long long live
    cdef public long long total
    cdef public bint interrupted
    cdef public unsigned int newest_queue
    cdef QueueScan queue_scan(self, unsigned int number)
    cpdef void scan_records(self, bytes data, Py_ssize_t at, Py_ssize_t end, unsigned int segment) except *
    cdef int scan_message(self, RecordReader record) except -1
    cdef int scan_settled(self, RecordReader record, unsigned int segment) except -1
    cdef int scan_delivered(self, RecordReader record) except -1
    cdef int scan_counts(self, RecordReader record) except -1
    cpdef void fetch(self, bytes data, Py_ssize_t at, Py_ssize_t end, unsigned int segment) except *
    cdef int fetch_message(self, RecordReader record, unsigned int segment) except -1
    cdef bint is_live(self, unsigned int number, unsigned long long position, unsigned int segment) except -1
    cdef int settled_copy(self, QueueScan found, unsigned long long position, unsigned int segment) except -1
    cdef int fetch_entry(self, RecordReader record, Py_ssize_t message, unsigned int segment) except -1
