cimport cython
from leveret.queues.backlog cimport Backlog, Fifo, Levels
from leveret.queues.message cimport Entry

@cython.final
cdef class Weighted(Backlog):
    cdef Fifo high
    cdef Fifo normal
    cdef int turn
    cdef Fifo chosen(self)

@cython.final
cdef class Returned(Backlog):
    cdef Backlog fresh
    cdef object back
    cpdef list[Entry] heads(self)
    cpdef list[Entry] take_expired(self, long long now)
