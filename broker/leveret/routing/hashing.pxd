cimport cython

@cython.final
cdef class Hasher:
    cdef unsigned long long a
    cdef unsigned long long b
    cdef unsigned long long c
    cdef void mix(self) noexcept
    cdef unsigned long long words(self, unsigned long long hashed, unsigned long long first, unsigned long long second, unsigned long long kind) noexcept
    cdef unsigned long long term(self, object term, unsigned long long hashed) except? 0
    cdef unsigned long long binary(self, bytes data, unsigned long long hashed) except? 0
    cdef unsigned long long sequence(self, list items, unsigned long long hashed) except? 0
    cdef unsigned long long atom(self, object atom, unsigned long long hashed) except? 0
    cdef unsigned long long integer(self, object number, unsigned long long hashed) except? 0

cdef unsigned long long word(const unsigned char *p, Py_ssize_t i) noexcept
