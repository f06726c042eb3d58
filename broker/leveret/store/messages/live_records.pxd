cimport cython
from leveret.store.messages.log cimport DiskQueueJournal, MessageLog
from leveret.store.messages.records cimport RecordReader
from leveret.wire.frames cimport Outbox

@cython.final
cdef class LiveRecords:
    cdef MessageLog log
    cdef public object alive
    cdef public Outbox out
    cdef public set needs
    cdef public dict marks
    cdef public long long copied
    cpdef Py_ssize_t copy_live(self, bytes data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t enough) except -1
    cdef int copy_message(self, RecordReader record) except -1
    cdef void copy_mark(self, RecordReader record) except *
