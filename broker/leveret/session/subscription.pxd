cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.session.channel cimport Channel

@cython.final
cdef class Subscription(Consumer):
    cdef public Channel channel
    cdef bytes prefix
    cdef bytes exchange
    cdef bytes routing_key
    cdef bytes suffix
