cimport cython
from leveret.routing.exchanges cimport Exchange

cdef class Walk

@cython.final
cdef class Router:
    cdef public long long revision
    cdef public dict exchanges
    cdef public dict queues
    cdef public object fallback
    cdef public object postpone
    cpdef void changed(self) except *
    cdef public dict leaving
    cdef public bint memoable
    cdef readonly Py_ssize_t steps
    cdef public Walk unfinished
    cdef readonly dict remembered
    cdef readonly long long places
    cpdef void forget(self, Exchange exchange) except *
    cdef void remember(self, Exchange exchange, bytes key, list found) except *
    cpdef list route(self, Exchange exchange, bytes key, list[bytes] more, object headers, object message)
    cpdef list begin(self, Exchange exchange, bytes key, list[bytes] more, object headers, object message)
    cdef list look(self, bytes key, list[bytes] more)
    cdef object named(self, bytes key)

@cython.final
cdef class Walk:
    cdef Router router
    cdef Exchange exchange
    cdef bytes key
    cdef list[bytes] more
    cdef object headers
    cdef object message
    cdef object properties
    cdef long long revision
    cdef readonly bint memoable
    cdef dict queues
    cdef dict seen
    cdef list[Exchange] waiting
    cdef Py_ssize_t visited
    cdef Exchange source
    cdef object search
    cdef list found
    cdef Py_ssize_t taken
    cdef Py_ssize_t decoded
    cpdef Py_ssize_t advance(self, Py_ssize_t steps) except -1
    cdef int visit(self, Exchange source) except -1
    cdef int end_matching(self) except -1
    cdef Py_ssize_t take(self, Py_ssize_t steps) except -1
    cdef bint held_up(self, Exchange source) except -1
    cpdef list result(self)
