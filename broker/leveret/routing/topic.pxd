cimport cython

@cython.final
cdef class Node:
    cdef public dict words
    cdef public Node star
    cdef public Node hash
    cdef public dict destinations
    cdef public bint loops
    cdef long long mark

@cython.final
cdef class Trie:
    cdef public Node root
    cdef long long steps
    cpdef void add(self, bytes pattern, object destination) except *
    cpdef bint remove(self, bytes pattern, object destination) except -1
    cpdef void match(self, bytes key, list found) except *
    cdef void enter(self, Node node, list[Node] nodes) except *

cpdef list[bytes] split(bytes key)
cpdef Py_ssize_t wildcards(bytes pattern) except -1
cdef Node _child(Node node, bytes word)
cdef Node _lookup(Node node, bytes word)
cdef void _prune(list[Node] way, list[bytes] words) except *
