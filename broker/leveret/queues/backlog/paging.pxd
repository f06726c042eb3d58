cimport cython
from leveret.queues.journal cimport QueueJournal
from leveret.queues.message cimport Entry, Message, Source
from leveret.wire.frames cimport Outbox

cpdef enum:
    BLOCK_ENTRIES = 1024
    BLOCK_BYTES = 524288

cdef Py_ssize_t _ENTRY_BYTES, _MESSAGE_BYTES

cdef class Pager:
    cdef public long long used
    cdef public long long limit
    cdef public long long paged
    cdef public long long allowance
    cdef public long long bodies
    cdef public long long wasted
    cdef public long long held
    cdef public object postponed

@cython.final
cdef class BacklogBlock:
    cdef public Source source
    cdef public bytes packed
    cdef public list loose
    cdef public object where
    cdef public object coming
    cdef public Py_ssize_t count
    cdef public long long weight
    cdef public long long bodies
    cdef public unsigned long long last
    cdef public bint has_ttl
    cdef public bint redelivered
    cdef public unsigned int stored
    cdef public unsigned long long first
    cpdef bint page_out(self, Pager pager) except -1
    cpdef bint here(self) except -1
    cpdef object bring(self, Pager pager)
    cpdef list unpack(self, Pager pager)
    cpdef bytes take(self, Pager pager)
    cpdef void settle(self, QueueJournal journal, Pager pager) except *
    cpdef void drop(self, Pager pager) except *

cdef Py_ssize_t weigh(Entry entry) except -1
cdef BacklogBlock pack(list[Entry] entries, Source source, Pager pager)
