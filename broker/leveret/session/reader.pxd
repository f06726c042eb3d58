cimport cython
from leveret.session.channel cimport Channel
from leveret.session.connection cimport Connection

@cython.final
cdef class Reader:
    cdef public Connection connection
    cdef Py_ssize_t at
    cdef Py_ssize_t unread
    cdef Py_ssize_t frame
    cdef Py_ssize_t switches
    cpdef Py_ssize_t receive(self, const unsigned char *p, Py_ssize_t n, Py_ssize_t start=*) except -1
    cdef void scan(self, const unsigned char *p, Py_ssize_t n) except *
    cdef Channel find(self, unsigned int number)
    cdef int end_turn_if_spent(self) except -1
    cdef void on_method_frame(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number) except *
    cdef Channel publisher(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number, unsigned int kind)
    cdef int on_header_frame(self, const unsigned char *p, Py_ssize_t start, Py_ssize_t stop, unsigned int number, Py_ssize_t n) except -1
    cdef int on_body_frame(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number) except -1
