cimport cython
from leveret.engine.tallies cimport PublishTally
from leveret.wire.frames cimport Outbox

@cython.final
cdef class PendingConfirms:
    cdef unsigned long long first
    cdef unsigned long long last
    cdef long long ticket
    cdef bint refused
    cdef PublishTally tally
    cdef bint extend(self, unsigned long long number, bint refused, PublishTally tally) noexcept

@cython.final
cdef class Confirms:
    cdef public unsigned int channel
    cdef public unsigned long long last
    cdef public unsigned long long done
    cdef public unsigned long long sent
    cdef dict out_of_order
    cdef public unsigned long long nacked
    cdef object waiting
    cdef PendingConfirms newest
    cdef public bint queued
    cdef public bint ended
    cpdef unsigned long long publish(self) noexcept
    cpdef void settle(self, unsigned long long number, bint refused) except *
    cpdef bint wait(self, unsigned long long number, long long ticket, bint refused, PublishTally tally) except -1
    cpdef Py_ssize_t unconfirmed_of(self, PublishTally tally) except -1
    cpdef dict unconfirmed_by_tally(self)
    cpdef void commit(self, long long settled) except *
    cdef int acknowledge(self, Outbox outbox) except -1
    cpdef void write(self, Outbox outbox) except *
