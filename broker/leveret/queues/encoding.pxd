cimport cython
from leveret.queues.message cimport Entry, Message, Source
from leveret.wire.frames cimport Outbox

cdef unsigned int PERSISTENT, EXPIRATION, PRIORITY, EXTRA
cdef unsigned int REDELIVERED, EXPIRES, COUNTS

cdef int put_message(Outbox out, Message message) except -1
cdef int put_entry(Outbox out, Entry entry, bint redelivered) except -1

@cython.final
cdef class EntryReader:
    cdef bytes data
    cdef public Py_ssize_t at
    cdef public Py_ssize_t end
    cdef bytes exchange
    cdef bytes routing_key
    cdef unsigned int u8(self) noexcept
    cdef unsigned int u32(self) noexcept
    cdef unsigned long long u64(self) noexcept
    cdef bytes text(self, bytes last)
    cpdef Message message(self)
    cpdef Entry entry(self, Source source)
