cimport cython
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class Router:
    cdef public long long revision
    cdef public bint reads_headers
    cdef public dict exchanges
    cdef public dict queues
    cdef public object fallback
    cpdef list route(self, Exchange exchange, bytes key, list[bytes] more, object headers, object message)
    cdef list look(self, Exchange exchange, bytes key)
