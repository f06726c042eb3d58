cimport cython
from leveret.session.base cimport ConnectionBase
from leveret.session.channel cimport Channel

@cython.final
cdef class Connection(ConnectionBase):
    cdef public Py_ssize_t limit
    cdef public Py_ssize_t body_limit
    cdef public unsigned int method
    cdef public dict channels
    cdef public Channel channel
    cdef public bint alarmed
    cdef public bint blocked
    cdef public bint in_flow
    cdef public long long flow_until
    cdef public Py_ssize_t unfinished_limit
    cdef public object resumed
    cdef public object ending
    cdef public bint disconnected
    cdef public bint blocked_notified
    cdef public object ended
    cdef public object login
    cdef public object attempt
    cdef public dict client_properties
    cdef public str mechanism
    cdef public unsigned int channel_max
    cdef public unsigned int heartbeat
    cdef public dict to_serve
    cdef public bint serving
    cdef public dict timers
    cdef public long long connected_at
    cdef public long long received
    cdef public long long sent
    cdef public long long reads
    cdef public long long writes
    cdef public long long frames_received
    cpdef bytes take_output(self)
    cpdef void hold_output(self) except *
    cpdef void output_read(self) except *
    cpdef void begin_turn(self) except *
    cpdef void write_confirms(self) except *
