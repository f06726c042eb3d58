cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Entry, Message
from leveret.queues.queue cimport Queue
from leveret.queues.returned cimport Returned

@cython.final
cdef class QuorumQueue(Queue):
    cdef public object profile
    cdef public long long delivery_limit
    cdef public bint limited
    cdef public list leaving
    cdef public dict fetched
    cdef object timeouts
    cdef public object delays
    cdef public object forwarder
    cdef object settings
    cdef bint blocked
    cdef bint quiescing
    cdef long long created_at
    cdef Returned line
    cdef bint full(self) except -1
    cdef void given_back(self, Entry entry) except *
