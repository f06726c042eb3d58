cimport cython

cdef class Clock:
    cdef public long long now
    cdef public long long tick_count

@cython.final
cdef class ScheduledCall:
    cdef public long long at
    cdef public long long order
    cdef public object call
    cdef public bint cancelled
    cdef public object poll

@cython.final
cdef class Agenda:
    cdef public Clock clock
    cdef public object earlier
    cdef public object failed
    cdef list heap
    cdef list polls
    cdef long long order
    cdef long cancelled
    cpdef ScheduledCall call_at(self, long long at, object call)
    cpdef ScheduledCall poll_at(self, long long at, object call, object poll)
    cpdef ScheduledCall call_after(self, long long delay, object call)
    cpdef void cancel(self, ScheduledCall due)
    cpdef long long next_at(self)
    cdef list _first_heap(self)
    cdef int _drop_cancelled(self, list[ScheduledCall] heap) except -1
    cpdef long run(self, object spent=*)
