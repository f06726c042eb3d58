cimport cython
from leveret.clock cimport Clock

@cython.final
cdef class WallClock(Clock):
    cdef double offset
    cpdef void tick(self) except *
