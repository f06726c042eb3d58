cimport cython

cdef class Clock:
    cdef public long long now
    cdef public long long turn

@cython.final
cdef class Due:
    cdef public long long at
    cdef public long long order
    cdef public object call
    cdef public bint cancelled

@cython.final
cdef class Agenda:
    cdef public Clock clock
    cdef public object earlier
    cdef list heap
    cdef long long order
    cdef long cancelled
    cpdef Due call_at(self, long long at, object call)
    cpdef Due call_after(self, long long delay, object call)
    cpdef void cancel(self, Due due)
    cpdef long long next_at(self)
    cpdef long run(self)
