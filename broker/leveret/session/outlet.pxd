cimport cython
from leveret.wire.frames cimport Outbox

cdef class Outlet:
    cdef public Outbox outbox
    cdef public Py_ssize_t frame_max
    cdef public list dirty
    cdef public bint waiting
    cdef public bint paused
    cdef public bint congested
    cdef public long long access_revision
    cpdef void speak(self) except *
    cpdef bint full(self) noexcept
