cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Entry, Message
from leveret.queues.queue cimport Queue
from leveret.queues.quorum.backlog cimport QuorumBacklog

@cython.final
cdef class QuorumQueue(Queue):
    cdef public object profile
    cdef public long long delivery_limit
    cdef public bint limited
    cdef public list cancelled_with_unacked
    cdef public Py_ssize_t cancelled_limit
    cdef public dict fetched
    cdef public object timeouts
    cdef public object delays
    cdef public dict collected
    cdef public object dead_letter_worker
    cdef object settings
    cdef long long properties_bytes
    cdef long long withheld_properties
    cdef bint properties_unknown
    cdef bint blocked
    cdef public bint quiescing
    cdef QuorumBacklog quorum_backlog
    cdef bint full(self) except -1
    cdef Py_ssize_t octets(self) except -1
    cdef int subtract_properties(self, Entry entry) except -1
    cdef int after_settle(self, Entry entry) except -1
