cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Entry, Message
from leveret.session.channel cimport Channel

@cython.final
cdef class Subscription(Consumer):
    cdef public Channel channel
    cdef bytes prefix
    cdef bytes exchange
    cdef bytes routing_key
    cdef bytes suffix
    cdef int take_watched(self, Message message, Entry entry, bint redelivered) except -1
