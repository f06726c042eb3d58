cimport cython

cdef int ones(unsigned int bits) noexcept

@cython.final
cdef class PositionChunk:
    cdef unsigned char bits[512]
    cdef int count

@cython.final
cdef class Positions:
    cdef dict chunks
    cdef public long long count
    cdef PositionChunk near
    cdef long long near_at
    cdef PositionChunk chunk(self, long long index)
    cpdef bint add(self, unsigned long long position) except -1
    cpdef void add_range(self, unsigned long long first, unsigned long long last) except *
    cpdef bint has(self, unsigned long long position) except -1
    cpdef Py_ssize_t remove_range(self, unsigned long long first, unsigned long long last) except -1
    cdef int forget(self, long long index) except -1
    cpdef bint any(self, unsigned long long first, unsigned long long last) except -1
    cpdef Py_ssize_t among(self, unsigned long long first, unsigned long long last) except -1
    cpdef void add_all(self, Positions other) except *
    cpdef void remove_all(self, Positions other) except *
    cpdef Positions common(self, Positions other)
