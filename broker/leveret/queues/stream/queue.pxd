cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Entry, Message
from leveret.queues.queue cimport Queue
from leveret.queues.stream.log cimport Cursor, StreamLog
from leveret.wire.frames cimport Outbox

@cython.final
cdef class StreamQueue(Queue):
    cdef public object profile
    cdef public bint containers
    cdef public StreamLog log
    cdef Outbox lead
    cdef Outbox rest
    cdef public list followers
    cdef public list waiting
    cdef public list broken
    cdef bint called
    cdef bint pushing
    cdef bytes exchange
    cdef bytes routing_key
    cdef void store(self, Message message) except *
    cdef void follow(self) except *
    cdef bint serve(self, Cursor cursor) except -1
    cdef bint at_end(self, Cursor cursor) except -1
    cdef void give(self, Cursor cursor, Consumer consumer, const unsigned char *p, Py_ssize_t at) except *
