cimport cython

cdef unsigned int u16(const unsigned char *p, Py_ssize_t i) noexcept
cdef unsigned int u32(const unsigned char *p, Py_ssize_t i) noexcept
cdef unsigned long long u64(const unsigned char *p, Py_ssize_t i) noexcept
cdef bytes cut(const unsigned char *p, Py_ssize_t start, Py_ssize_t end)
cdef bint same(const unsigned char *p, Py_ssize_t start, Py_ssize_t size, bytes other) noexcept
cpdef bytes shortstr(bytes text)

@cython.final
cdef class Outbox:
    cdef unsigned char *block
    cdef Py_ssize_t room
    cdef bytearray plain
    cdef public Py_ssize_t size
    cdef int grow(self, Py_ssize_t more) except -1
    cpdef void put(self, bytes data) except *
    cdef int put_u8(self, unsigned int value) except -1
    cdef int put_u32(self, unsigned int value) except -1
    cdef void cut_back(self, Py_ssize_t size) noexcept
    cdef void poke_u32(self, Py_ssize_t at, unsigned int value) noexcept
    cdef int put_u64(self, unsigned long long value) except -1
    cdef int put_slice(self, const unsigned char *p, Py_ssize_t start, Py_ssize_t size) except -1
    cdef int put_head(self, unsigned int kind, unsigned int channel, unsigned int size) except -1
    cpdef void put_content(self, unsigned int channel, bytes content, Py_ssize_t head, Py_ssize_t body, Py_ssize_t frame_max) except *
    cpdef void put_stored(self, unsigned int channel, const unsigned char *p, Py_ssize_t at, Py_ssize_t properties, Py_ssize_t body, Py_ssize_t frame_max) except *
    cdef int split(self, unsigned int channel, const unsigned char *content, Py_ssize_t start, Py_ssize_t body, Py_ssize_t most) except -1
    cpdef void deliver(self, unsigned int channel, bytes prefix, unsigned long long tag, bint redelivered, bytes suffix) except *
    cpdef void confirm(self, unsigned int channel, unsigned int method, unsigned long long tag, unsigned int bits) except *
    cpdef bytes take(self)
