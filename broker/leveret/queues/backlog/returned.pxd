cimport cython
from leveret.queues.message cimport Entry

@cython.final
cdef class ReturnedRun:
    cdef list entries
    cdef Py_ssize_t at
    cdef unsigned long long first
    cdef unsigned long long last

@cython.final
cdef class ReturnedEntries:
    cdef public Py_ssize_t length
    cdef list runs
    cdef ReturnedRun newest
    cdef void add(self, Entry entry) except *
    cdef Entry first(self)
    cdef Entry pop(self)
    cpdef list[Entry] entries(self)
