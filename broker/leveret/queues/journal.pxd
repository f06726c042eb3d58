cimport cython
from leveret.queues.message cimport Entry

cdef unsigned int _PENDING

cdef class Journal:
    cdef public long long ticket
    cdef public long long settled
    cdef public long long changes
    cdef public long long changed
    cdef public bint delivering
    cdef public bint full
    cdef public object caught_up
    cdef public object due
    cdef public object begin
    cdef public bint waking
    cdef public bint partial
    cdef public list whole
    cdef public object failed
    cdef public object unencodable
    cpdef void run(self, object call) except *

cdef class QueueJournal:
    cpdef Py_ssize_t append(self, Entry entry) except -1
    cpdef void settle(self, Entry entry) except *
    cpdef void settle_run(self, unsigned int stored, unsigned long long first, unsigned long long last) except *
    cpdef void delivered(self, Entry entry) except *
    cpdef void returned(self, Entry entry) except *
    cpdef void purge(self) except *

cdef class StreamJournal:
    cdef public bint unwritten
    cpdef Py_ssize_t grown(self, Py_ssize_t size) except -1
    cpdef void mark_delivered(self) except *
