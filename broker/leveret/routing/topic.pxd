cimport cython

@cython.final
cdef class Node:
    cdef public dict words
    cdef public Node star
    cdef public Node hash
    cdef public dict destinations

cdef class Search

@cython.final
cdef class Trie:
    cdef public Node root
    cdef Search idle
    cdef readonly Py_ssize_t left
    cpdef void add(self, bytes pattern, object destination) except *
    cpdef bint remove(self, bytes pattern, object destination) except -1
    cpdef Search match(self, list[bytes] keys, list found, Py_ssize_t steps=*)

@cython.final
cdef class Search:
    cdef Node root
    cdef list[bytes] keys
    cdef list found
    cdef Py_ssize_t started
    cdef list[Node] nodes
    cdef list depths
    cdef list[Node] spread_nodes
    cdef list consumed
    cdef list[bytes] words
    cdef object inner
    cdef dict places
    cdef void begin(self, Node root, list[bytes] keys, list found) except *
    cpdef Py_ssize_t advance(self, Py_ssize_t steps) except -1
    cdef void visit(self, Node node, Py_ssize_t depth) except *
    cdef void spread(self, Node node, Py_ssize_t depth) except *
    cdef void visit_spread(self, Node node, object consumed) except *
    cdef void step(self, Node node, object consumed) except *

cpdef list[bytes] split(bytes key)
cpdef Py_ssize_t wildcards(bytes pattern) except -1
cdef Node _child(Node node, bytes word)
cdef Node _lookup(Node node, bytes word)
cdef void _prune(list[Node] way, list[bytes] words) except *
