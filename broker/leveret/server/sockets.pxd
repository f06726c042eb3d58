cimport cython
from leveret.queues.backlog.paging cimport Pager
from leveret.session.connection cimport Connection
from leveret.session.output cimport Output
from leveret.session.reader cimport Reader

cdef class Edge:
    cdef public object broker
    cdef public object work
    cdef public Pager pager
    cdef public list dirty
    cdef public object clock
    cdef public object message_clock
    cdef public object loop
    cdef public object timer
    cdef public bytearray buffer
    cdef public object view
    cdef public dict sockets
    cdef public dict newcomers
    cdef public long long reserve_begins
    cdef public bint flush_due
    cdef public bint work_due
    cdef public list unfinished
    cdef public double share_s
    cdef public double sent_at
    cdef public object send_barrier
    cdef public object checker
    cdef public object context
    cdef public object timers
    cpdef void tick(self) except *
    cpdef void touch(self) except *
    cpdef void send_soon(self) except *
    cdef void end_of_read(self) except *
    cpdef void send_large(self) except *
    cpdef void flush(self) except *

cdef class Socket:
    cdef public Edge edge
    cdef public bytes rest
    cdef public bytearray frame
    cdef public Py_ssize_t filled
    cdef public bint reading
    cdef public int fd
    cdef public bint failed
    cdef public object transport
    cdef public Connection connection
    cdef public Reader reader
    cdef public bint accepted
    cdef void read(self, Py_ssize_t count) except *
    cdef void take(self, bytearray buffer, Py_ssize_t size, bint more) except *
    cpdef void send(self) except *
    cpdef void write(self, bytes data) except *
