cimport cython
from leveret.routing.topic cimport Trie

cdef class Exchange:
    cdef public str name
    cdef public str type
    cdef public bint durable
    cdef public bint auto_delete
    cdef public bint internal
    cdef public bint memoable
    cdef public object alternate
    cdef public object policy
    cdef public object arguments
    cdef public str user
    cdef public dict bindings
    cdef public dict memo
    cdef public long long memo_at
    cdef public long long published_in
    cdef public long long published_out
    cpdef list matches(self, bytes key, object headers, object message)

@cython.final
cdef class Direct(Exchange):
    cdef dict keys

@cython.final
cdef class Topic(Exchange):
    cdef Trie trie
