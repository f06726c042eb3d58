cimport cython
from leveret.queues.message cimport Entry

@cython.final
cdef class Unacked:
    cdef list slots
    cdef unsigned long long base
    cdef Py_ssize_t head
    cdef dict stragglers
    cdef public Py_ssize_t count
    cdef list tags
    cdef Py_ssize_t first
    cdef bint ordered
    cdef public unsigned long long examined
    cdef int add(self, Entry entry) except -1
    cpdef Entry find(self, unsigned long long tag)
    cpdef Entry take(self, unsigned long long tag)
    cpdef list[Entry] take_through(self, unsigned long long tag)
    cpdef list[Entry] take_all(self)
    cdef list[Entry] split(self, Py_ssize_t end)
    cpdef list[Entry] outstanding(self)
    cpdef list[Entry] following(self, unsigned long long tag, Py_ssize_t most)
    cpdef Entry oldest(self)
    cdef unsigned long long last(self) except? 0
    cdef list[Entry] take_stragglers(self, unsigned long long tag)
    cdef int straggle(self, Entry entry) except -1
    cdef int thin(self) except -1
    cdef int sort(self) except -1
    cdef int compact(self) except -1
    cdef int advance(self) except -1

cdef Py_ssize_t _filled(list slots) except -1
