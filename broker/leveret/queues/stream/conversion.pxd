cimport cython
from leveret.queues.message cimport Message
from leveret.wire.frames cimport Outbox

cpdef bint put_plain(Outbox out, Message message, unsigned long long offset, bint containers) except -1
cdef Py_ssize_t _place(const unsigned char *p, Py_ssize_t i, Py_ssize_t end) noexcept
cdef bint _harmless(const unsigned char *p, Py_ssize_t i, unsigned int flags) noexcept
