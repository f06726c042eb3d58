cimport cython
from leveret.queues.backlog.ready cimport Backlog, Fifo, Levels
from leveret.queues.message cimport Entry

@cython.final
cdef class WeightedBacklog(Backlog):
    cdef Fifo high
    cdef Fifo normal
    cdef int share
    cdef Fifo chosen(self)

@cython.final
cdef class QuorumBacklog(Backlog):
    cdef Backlog undelivered
    cdef object returned
    cpdef list[Entry] heads(self)
    cpdef list[Entry] take_expired(self, long long now, Py_ssize_t most)
