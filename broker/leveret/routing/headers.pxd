cimport cython
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class Wanted:
    cdef bint every
    cdef bint exact
    cdef dict fields
    cpdef bint holds(self, dict headers) except -1

cdef class Headers(Exchange):
    cdef dict wanted
    cdef public bint exact
    cpdef void matches(self, bytes key, list[bytes] more, object properties, list found) except *

cpdef bint equal(object wanted, object found) except -1
