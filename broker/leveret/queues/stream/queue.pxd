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
    cdef public list behind
    cdef Py_ssize_t next_behind
    cdef unsigned long long followed
    cdef Cursor serving
    cdef public Py_ssize_t leaving
    cdef public long long given
    cdef public list waiting
    cdef public list broken
    cdef public dict located
    cdef bint called
    cdef bint pushing
    cdef bytes exchange
    cdef bytes routing_key
    cdef int store(self, Message message) except -1
    cdef void follow(self) except *
    cdef bint follow_some(self, Py_ssize_t most, long long limit) except -1
    cdef int drop_gone(self) except -1
    cdef bint serve(self, Cursor cursor) except -1
    cdef bint at_end(self, Cursor cursor) except -1
    cdef int give(self, Cursor cursor, Consumer consumer, const unsigned char *p, Py_ssize_t at) except -1
