from leveret.session.output cimport Output
from leveret.wire.content cimport Header

cdef class ConnectionBase(Output):
    cdef public object broker
    cdef public object peer
    cdef public str name
    cdef public object actor
    cdef public Header header
    cdef public int state
    cdef public object user
    cdef public object vhost
    cdef public object capabilities
    cdef public object exclusive_queues
    cdef public object caller
    cdef public list unflushed
    cdef public object suspended
    cdef public bint turn_over
    cdef public bint halted
    cdef public bint stuffed
    cpdef void answered(self) except *
    cpdef void end_turn(self) except *
