cimport cython
from leveret.queues.message cimport Destination
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class RouteTally:
    cdef list targets
    cdef long long count

@cython.final
cdef class PublishTally:
    cdef public Exchange exchange
    cdef public PublishTally total
    cdef public long long published
    cdef public long long promised
    cdef public long long refused
    cdef public long long returned
    cdef public long long dropped
    cdef public long long routed
    cdef public dict queues
    cdef dict routes
    cdef RouteTally last
    cdef Py_ssize_t limit
    cpdef void sent(self, list[Destination] targets) except *
    cpdef void promise(self, bint refused) noexcept
    cdef RouteTally route(self, list[Destination] targets)
    cpdef void fold(self) except *
    cdef void add(self, RouteTally route) except *
