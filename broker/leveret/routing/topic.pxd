cimport cython

@cython.final
cdef class Node:
    cdef dict words
    cdef Node star
    cdef Node rest
    cdef dict here
    cdef bint empty(self) noexcept

@cython.final
cdef class Trie:
    cdef Node root
    cpdef void add(self, bytes key, object destination) except *
    cpdef void remove(self, bytes key, object destination) except *
    cpdef list match(self, bytes key)
    cdef bint prune(self, Node node, list[bytes] words, Py_ssize_t i, object destination) except -1
    cdef void walk(self, Node node, list[bytes] words, Py_ssize_t i, object found) except *
