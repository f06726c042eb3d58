cimport cython
from leveret.queues.backlog cimport Backlog
from leveret.queues.message cimport Entry, Message
from leveret.queues.queue cimport Queue

@cython.final
cdef class Returned(Backlog):
    cdef Backlog fresh
    cdef object back
    cdef public bint to_front

@cython.final
cdef class QuorumQueue(Queue):
    cdef public object profile
    cdef public long long delivery_limit
    cdef list leaving
