from leveret.routing.topic cimport Trie

cdef class Exchange:
    cdef public str name
    cdef public bytes wire_name
    cdef public str type
    cdef public bint durable
    cdef public bint auto_delete
    cdef public bint internal
    cdef public object arguments
    cdef public str user
    cdef public str alternate
    cdef public long long serial
    cdef public object policy
    cdef public bint by_key
    cdef public bint attentive
    cdef readonly bint implicit
    cdef public dict bindings
    cdef public dict targets
    cdef public dict memo
    cdef public long long memo_at
    cdef public object tally
    cdef public Py_ssize_t steps
    cpdef long long attend(self, object message, object properties) except -1
    cpdef object matches(self, bytes key, list[bytes] more, object properties, list found)

cdef class Direct(Exchange):
    cdef dict keys
    cpdef object matches(self, bytes key, list[bytes] more, object properties, list found)

cdef class Fanout(Exchange):
    cpdef object matches(self, bytes key, list[bytes] more, object properties, list found)

cdef class Topic(Exchange):
    cdef Trie trie
    cdef public long wildcard_limit
    cpdef object matches(self, bytes key, list[bytes] more, object properties, list found)
