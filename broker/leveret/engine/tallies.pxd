cimport cython
from leveret.queues.message cimport Destination
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class RouteTally:
    cdef list targets
    cdef long long count
    cdef Py_ssize_t at

@cython.final
cdef class PublishTally:
    cdef public Exchange exchange
    cdef public PublishTally total
    cdef readonly Py_ssize_t open
    cdef readonly set changed
    cdef public long long published
    cdef public long long promised
    cdef long long folded
    cdef public long long refused
    cdef public long long returned
    cdef public long long dropped
    cdef public long long routed
    cdef public dict queues
    cdef dict routes
    cdef RouteTally spreading
    cdef Py_ssize_t routed_queues
    cdef RouteTally last
    cdef Py_ssize_t limit
    cpdef void sent(self, list[Destination] targets) except *
    cpdef void unroutable(self, bint returned) noexcept
    cpdef void promise(self) except *
    cdef int note(self) except -1
    cpdef void give_back(self) noexcept
    cpdef void refuse(self) noexcept
    cpdef PublishTally begin(self)
    cpdef void leave(self) except *
    cpdef void join(self, PublishTally ended) except *
    cpdef void end(self) except *
    cdef RouteTally route(self, list[Destination] targets)
    cpdef bint full_for(self, list[Destination] targets) except -1
    cdef bint unspread(self) noexcept
    cpdef Py_ssize_t publishes(self) except -1
    cpdef set destinations(self)
    cpdef void fold(self) except *
    cpdef bint fold_parts(self, Py_ssize_t most) except -1
    cpdef bint spread(self, Py_ssize_t most) except -1
    cdef Py_ssize_t spread_list(self, Py_ssize_t most) except -1
    cdef void add_publishes(self, RouteTally route) noexcept
    cdef int add(self, list[Destination] queues, long long count) except -1
