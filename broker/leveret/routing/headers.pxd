cimport cython
from leveret.routing.exchanges cimport Exchange

@cython.final
cdef class Wanted:
    cdef bint every
    cdef bint exact
    cdef long long number
    cdef object destination
    cdef dict fields
    cdef list conditions
    cpdef bint holds(self, dict headers) except -1

cdef class Headers(Exchange):
    cdef dict wanted
    cdef dict filed
    cdef dict unconditional
    cdef Py_ssize_t composites
    cdef long long added
    cdef public bint exact
    cdef int look(self, dict values, object field, list[Wanted] candidates) except -1
    cpdef object matches(self, bytes key, list[bytes] more, object properties, list found)

@cython.final
cdef class HeadersSearch:
    cdef list[Wanted] candidates
    cdef dict headers
    cdef list found
    cdef Py_ssize_t checked
    cdef dict holding
    cpdef Py_ssize_t advance(self, Py_ssize_t steps) except -1

cpdef bint equal(object wanted, object found) except -1
cdef object _filed(object field, bint exact)
cdef object _value(str kind, object value, bint exact)
