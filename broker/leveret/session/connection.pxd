cimport cython
from leveret.session.channel cimport Channel
from leveret.session.output cimport Output
from leveret.wire.content cimport Header

@cython.final
cdef class Connection(Output):
    cdef public object broker
    cdef public object peer
    cdef public str name
    cdef public object actor
    cdef public Header header
    cdef public int state
    cdef public Py_ssize_t limit
    cdef Py_ssize_t at
    cdef Py_ssize_t unread
    cdef public unsigned int method
    cdef public dict channels
    cdef public Channel channel
    cdef public list unflushed
    cdef public bint alarmed
    cdef public bint blocked
    cdef public bint blocked_notified
    cdef public str ended
    cdef public object login
    cdef public object user
    cdef public object vhost
    cdef public dict client_properties
    cdef public object capabilities
    cdef public str mechanism
    cdef public object sasl
    cdef public unsigned int channel_max
    cdef public unsigned int heartbeat
    cdef public object timers
    cdef public long long connected_at
    cdef public long long received
    cdef public long long sent
    cdef public long long frames_received
    cdef public object exclusive_queues
    cdef public object on_end
    cpdef Py_ssize_t receive(self, const unsigned char *p, Py_ssize_t n, Py_ssize_t start=*) except -1
    cdef void scan(self, const unsigned char *p, Py_ssize_t n) except *
    cdef void on_hot_method(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number) except *
    cdef Channel publisher(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number, unsigned int kind)
    cdef void on_header_frame(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number, Py_ssize_t n) except *
    cdef void on_body_frame(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int number) except *
    cdef Channel find(self, unsigned int number)
    cpdef bytes take_output(self)
