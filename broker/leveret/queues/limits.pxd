cimport cython
from leveret.queues.message cimport Entry, Message

@cython.final
cdef class Limits:
    cdef public long long message_ttl
    cdef public long long expires
    cdef public long long max_length
    cdef public long long max_bytes
    cdef public bint reject
    cdef public bint reject_dead_letters
    cdef public bint bounded
    cdef public bint drops
    cpdef long long expiry(self, Message message, long long now) noexcept
    cpdef bint would_overflow(self, long long ready, long long ready_bytes, Message message) noexcept
    cpdef bint overflows(self, long long ready, long long ready_bytes) noexcept
