cimport cython
from leveret.session.output cimport Output
from leveret.wire.frames cimport Outbox

@cython.final
cdef class Content:
    cdef Output output
    cdef public long long max_message_size
    cdef bint check_overrun
    cdef public bint assembling
    cdef public bint headed
    cdef bytes exchange_name
    cdef bytes routing_key
    cdef bint mandatory
    cdef bint immediate
    cdef bytes head
    cdef Outbox body
    cdef Py_ssize_t collected
    cdef unsigned long long missing
    cdef unsigned long long size
    cdef bint on_publish(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end) except -1
    cdef Py_ssize_t on_header(self, const unsigned char *p, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t limit, Py_ssize_t frame_max) except -2
    cdef bint on_body(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end) except -1
    cdef bytes joined(self)
    cdef int collect(self, Py_ssize_t octets) except -1
    cdef bint crowds(self, Py_ssize_t limit) except -1
    cdef int drop_body(self) except -1
    cpdef void forget(self) except *
