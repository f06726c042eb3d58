cimport cython
from leveret.store.log cimport DiskLedger, MessageLog
from leveret.wire.frames cimport Outbox

@cython.final
cdef class Sieve:
    cdef MessageLog log
    cdef public object alive
    cdef public Outbox out
    cdef public set needs
    cdef public dict marks
    cdef public long long copied
    cpdef Py_ssize_t sift(self, bytes data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t enough) except -1
    cdef void message(self, bytes data, Py_ssize_t at, Py_ssize_t end) except *
    cdef void about(self, bytes data, Py_ssize_t at, unsigned int kind) except *
