cimport cython
from leveret.wire.frames cimport Outbox

cdef class Output:
    cdef public Outbox outbox
    cdef public Py_ssize_t frame_max
    cdef public list dirty
    cdef public bint flush_scheduled
    cdef public bint paused
    cdef public bint congested
    cdef public bint answers
    cdef public Py_ssize_t unread_limit
    cdef public Py_ssize_t unfinished
    cdef public long long access_revision
    cpdef void schedule_flush(self) except *
    cpdef bint full(self) noexcept
