cimport cython
from leveret.wire.frames cimport Outbox

cpdef enum:
    MESSAGE = 1
    SETTLED = 2
    DELIVERED = 3
    RETURNED = 4
    DROPPED = 5
    HEADER = 6
    CONTINUED = 7

cpdef Py_ssize_t entry_size(const unsigned char *p, Py_ssize_t at) noexcept
cpdef int priority_of(const unsigned char *p, Py_ssize_t at) noexcept
cpdef unsigned int body_size(const unsigned char *p, Py_ssize_t at) noexcept
cdef int begin_message(Outbox out) except -1
cdef int end_message(Outbox out, Py_ssize_t start, unsigned int targets) except -1
cdef int put_positions(Outbox out, unsigned int kind, unsigned int queue, unsigned int segment, unsigned long long first, unsigned long long last) except -1
cdef int put_returned(Outbox out, unsigned int queue, unsigned int segment, unsigned long long position, unsigned int acquired, unsigned int failed) except -1
cpdef void put_dropped(Outbox out, unsigned int segment) except *

@cython.final
cdef class RecordReader:
    cdef public bytes data
    cdef public Py_ssize_t at
    cdef public Py_ssize_t end
    cdef public Py_ssize_t size
    cdef public unsigned int kind
    cdef public unsigned int queue
    cdef public unsigned int segment
    cdef public unsigned long long first
    cdef public unsigned long long last
    cdef public unsigned int acquired
    cdef public unsigned int failed
    cdef public unsigned int targets
    cdef public Py_ssize_t target
    cdef public Py_ssize_t entry
    cdef public unsigned long long position
    cdef public unsigned int flags
    cdef public unsigned long long expires_at
    cpdef bint next(self) except -1
    cdef void read_positions(self, Py_ssize_t at) noexcept
    cpdef bint next_target(self) except -1
    cpdef Py_ssize_t message_at(self) except -1
    cpdef bint whole(self) noexcept
