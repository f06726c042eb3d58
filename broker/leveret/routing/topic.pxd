cimport cython

@cython.final
cdef class PatternNode:
    cdef public dict words
    cdef public PatternNode star
    cdef public PatternNode hash
    cdef public dict destinations

cdef class Search

@cython.final
cdef class Trie:
    cdef public PatternNode root
    cdef Search idle
    cdef readonly Py_ssize_t left
    cpdef void add(self, bytes pattern, object destination) except *
    cpdef bint remove(self, bytes pattern, object destination) except -1
    cpdef Search match(self, list[bytes] keys, list found, Py_ssize_t steps=*)

@cython.final
cdef class Search:
    cdef PatternNode root
    cdef list[bytes] keys
    cdef list found
    cdef Py_ssize_t started
    cdef dict noted
    cdef list[PatternNode] nodes
    cdef list depths
    cdef list[PatternNode] spread_nodes
    cdef list consumed
    cdef list[bytes] words
    cdef object inner
    cdef dict places
    cdef int begin(self, PatternNode root, list[bytes] keys, list found) except -1
    cpdef Py_ssize_t advance(self, Py_ssize_t steps) except -1
    cdef void visit(self, PatternNode node, Py_ssize_t depth) except *
    cdef void note(self, PatternNode node) except *
    cdef int spread(self, PatternNode node, Py_ssize_t depth) except -1
    cdef void visit_spread(self, PatternNode node, object consumed) except *
    cdef int step(self, PatternNode node, object consumed) except -1

cpdef list[bytes] split(bytes key)
cpdef Py_ssize_t wildcards(bytes pattern) except -1
cdef PatternNode _child(PatternNode node, bytes word)
cdef PatternNode _lookup(PatternNode node, bytes word)
cdef void _prune(list[PatternNode] way, list[bytes] words) except *
