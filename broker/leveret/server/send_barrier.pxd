cimport cython
from leveret.queues.journal cimport Journal
from leveret.session.output cimport Output

@cython.final
cdef class SendBarrier:
    cdef public object marks
    cdef public Journal journal
    cdef public object later
    cdef public object wake
    cdef public object faults
    cdef public dict held
    cdef public dict unmarked
    cdef public bint always_asked
    cdef long long seen
    cdef long long noted
    cdef bint open(self) noexcept
    cpdef bint shut(self) except -1
    cpdef list[Output] admit(self, list[Output] dirty)
