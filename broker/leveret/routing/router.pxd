cimport cython
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class Router:
    cdef public long long revision
    cdef public dict exchanges
    cdef public dict queues
    cdef public object fallback
    cdef public object postpone
    cpdef void changed(self) except *
    cpdef list route(self, Exchange exchange, bytes key, list[bytes] more, object headers, object message)
    cdef void settle(self, Exchange exchange) except *
    cdef list next_to(self, Exchange source)
    cdef list look(self, bytes key, list[bytes] more)
    cdef object named(self, bytes key)
    cdef list walk(self, Exchange exchange, bytes key, list[bytes] more, object headers, object message)
    cdef bint held_up(self, Exchange source, object message, object properties) except -1
