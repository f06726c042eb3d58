cimport cython

@cython.final
cdef class Reader:
    cdef bytes data
    cdef Py_ssize_t at
    cdef Py_ssize_t left
    cdef Py_ssize_t extent(self, Py_ssize_t end) except -1
    cdef dict fields(self, Py_ssize_t end, int depth)
    cdef list array(self, Py_ssize_t end, int depth)
    cdef object field(self, Py_ssize_t end, int depth)
    cdef object integer(self, int code, Py_ssize_t end)
    cdef int pass_octets(self, Py_ssize_t size, Py_ssize_t end) except -1

@cython.final
cdef class _PlainReader:
    cdef Py_ssize_t left
    cdef dict table(self, object values, int depth)
    cdef object field(self, object value, int depth)

cdef object _field(str kind, object value)
cdef _write_fields(bytearray out, object table)
cdef _write_field(bytearray out, object field)
