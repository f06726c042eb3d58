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
    cdef public object timeouts
    cdef public object delays
    cdef public object forwarder
    cdef object settings
    cdef long long extra
    cdef bint unsure
    cdef bint blocked
    cdef public bint quiescing
    cdef Returned line
    cdef bint full(self) except -1
    cdef Py_ssize_t octets(self) except -1
    cdef void weigh_less(self, Entry entry) except *
    cdef void given_back(self, Entry entry) except *
