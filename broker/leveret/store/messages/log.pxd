cimport cython
from leveret.queues.journal cimport StreamJournal, Journal, QueueJournal
from leveret.queues.message cimport Entry, Message
from leveret.store.messages.positions cimport Positions
from leveret.wire.frames cimport Outbox

@cython.final
cdef class PositionRun:
    cdef public unsigned int segment
    cdef public unsigned long long first
    cdef public unsigned long long last

@cython.final
cdef class DiskQueueJournal(QueueJournal):
    cdef MessageLog log
    cdef public unsigned int number
    cdef public Positions live
    cdef public dict counts
    cdef list settled
    cdef list delivered_marks
    cdef long long unwritten
    cdef public bint gone
    cpdef void remove_settled(self, PositionRun run) except *

cdef void _extend(list[PositionRun] runs, unsigned int segment, unsigned long long first, unsigned long long last) except *
cdef list _merged(list[PositionRun] runs)

@cython.final
cdef class DiskStreamJournal(StreamJournal):
    cdef public MessageLog log
    cdef public object files

cdef class MessageLog(Journal):
    cdef public object wake
    cdef public object left
    cdef public long long open
    cdef public unsigned int segment
    cdef public long long packed
    cdef public Py_ssize_t runs
    cdef public long long limit
    cdef public dict queues
    cdef public dict moved
    cdef public set needs
    cdef public dict marks
    cdef public dict waiting
    cdef list entries
    cdef list queue_journals
    cdef list unwritten
    cdef list changed_queues
    cdef public list delivered_marks
    cdef list returned
    cdef Py_ssize_t returned_encoded
    cdef public list grown
    cdef public bint streams_delivered
    cdef public long long noted
    cdef public int holds
    cdef public bint awake
    cdef public bint prompt
    cdef public bint urgent
    cdef Py_ssize_t encoded
    cdef public long long unwritten_bytes
    cdef public long long packed_bytes
    cdef public long long unwritten_limit
    cpdef void call(self, int when) except *
    cdef int added(self) except -1
    cdef unsigned int now_in(self, unsigned int segment) except? 0
    cpdef Py_ssize_t pack(self, Outbox out) except -1
    cdef Py_ssize_t put_messages(self, Outbox out, list[Entry] entries, list[DiskQueueJournal] queue_journals, Py_ssize_t i) except -1
    cdef Py_ssize_t drop_message(self, Exception error, list[Entry] entries, list[DiskQueueJournal] queue_journals, Py_ssize_t i) except -1
    cdef Py_ssize_t put_message(self, Outbox out, list[Entry] entries, list[DiskQueueJournal] queue_journals, Py_ssize_t i) except -1
    cdef int put_target(self, Outbox out, Entry entry, DiskQueueJournal queue_journal) except -1
    cdef int count_packed(self) except -1
    cdef list to_write(self, DiskQueueJournal queue_journal, list[PositionRun] runs)
    cdef bint put_settled(self, Outbox out) except -1
    cpdef bint put_marks_alone(self, Outbox out) except -1
    cdef bint put_delivered_marks(self, Outbox out) except -1
    cdef bint put_returned(self, Outbox out) except -1
