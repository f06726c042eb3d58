cimport cython

@cython.final
cdef class Work:
    cdef public object faults
    cdef public object timer
    cdef public object wake
    cdef public object jobs
    cdef public double deadline
    cpdef void begin_turn(self, double share) except *
    cpdef bint spent(self) except -1
