cimport cython

@cython.final
cdef class Header:
    cdef public unsigned int flags
    cdef public int delivery_mode
    cdef public int priority
    cdef public Py_ssize_t headers
    cdef public Py_ssize_t headers_end
    cdef public Py_ssize_t expiration
    cdef public Py_ssize_t expiration_size
    cdef public Py_ssize_t reply_to
    cdef public Py_ssize_t reply_to_size
    cdef public Py_ssize_t user_id
    cdef public Py_ssize_t user_id_size
    cdef public bint sorted
    cdef public bint special
    cdef public bint odd
    cdef public int fields
    cdef public bint deep
    cpdef bint scan(self, const unsigned char *p, Py_ssize_t start, Py_ssize_t end) noexcept
    cdef Py_ssize_t skip_field(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, int depth) noexcept
    cdef bint look_inside(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, bint named, int depth) noexcept
    cdef bint look_at_headers(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end) noexcept
