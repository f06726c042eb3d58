cimport cython

@cython.final
cdef class Message:
    cdef public bytes exchange
    cdef public bytes routing_key
    cdef public bytes content
    cdef public unsigned int head
    cdef public unsigned int size
    cdef public bint persistent
    cdef public int priority
    cdef public int shares
    cdef public long long expiration
    cdef public object extra

@cython.final
cdef class Entry:
    cdef public Message message
    cdef public unsigned long long position
    cdef public long long expires_at
    cdef public unsigned long long tag
    cdef public Source source
    cdef public object consumer
    cdef public unsigned int acquired
    cdef public unsigned int failed
    cdef public bint redelivered
    cdef public unsigned int stored
    cdef public long long delivered_at

cdef Message new_message(bytes exchange, bytes routing_key, bytes content, unsigned int head, unsigned int size)
cpdef list unvisited(list entries)
cdef Entry new_entry(Message message, unsigned long long position, long long expires_at, Source source)

cdef class Source:
    cpdef void settle(self, Entry entry) except *
    cpdef void requeue(self, list[Entry] entries, int why) except *
    cpdef void reject(self, Entry entry, int why) except *

cdef class Destination(Source):
    cdef public str name
    cdef public str vhost
    cdef public bint gone
    cdef public object busy
    cpdef Py_ssize_t push(self, Message message) except -2
