cimport cython
from leveret.queues.backlog.paging cimport Pager
from leveret.server.send_barrier cimport SendBarrier
from leveret.server.wall_clock cimport WallClock
from leveret.session.connection cimport Connection
from leveret.session.output cimport Output
from leveret.session.reader cimport Reader
from leveret.work cimport Work

cdef Py_ssize_t write_some(int descriptor, bytes data) except -2

cdef class Socket

cdef class Edge:
    cdef public object broker
    cdef public Work work
    cdef public Pager pager
    cdef public list dirty
    cdef public object clock
    cdef public WallClock wall_clock
    cdef public object message_clock
    cdef public object loop
    cdef public object timer
    cdef bint timed
    cdef public bytearray buffer
    cdef public object view
    cdef public dict sockets
    cdef public dict newcomers
    cdef public long long reserve_begins
    cdef public bint flush_due
    cdef public bint work_due
    cdef public object unfinished
    cdef public bint going_on
    cdef public double share_s
    cdef public Socket reading
    cdef public double turn_until
    cdef public bint turn_used
    cdef public bint turn_late
    cdef public double read_at
    cdef public object deferred
    cdef public bint deferred_go
    cdef public list late
    cdef public object woken
    cdef public object closing
    cdef public Py_ssize_t closed
    cdef public object lost
    cdef public double losing_until
    cdef public double sent_at
    cdef public long long octets_read
    cdef public object look
    cdef public object collect
    cdef public double collected_at
    cdef public long long collected_octets
    cdef public object send_barrier
    cdef public object checker
    cdef public object context
    cdef public object timers
    cpdef void tick(self) except *
    cpdef void touch(self) except *
    cpdef void send_soon(self) except *
    cdef int end_of_read(self) except -1
    cpdef void look_at_memory(self) except *
    cpdef void send_large(self) except *
    cpdef void flush(self) except *
    cdef int collect_if_due(self, double now) except -1
    cdef double seconds(self) except *
    cdef int begin_share(self) except -1
    cdef int begin_read(self, Socket socket) except -1
    cdef void send_each(self, list[Output] dirty) except *
    cdef int send_all(self) except -1
    cdef list[Output] admitted(self, list[Output] dirty)

cdef class Socket:
    cdef public Edge edge
    cdef public bytes rest
    cdef public bytearray frame
    cdef public Py_ssize_t filled
    cdef public bint reading
    cdef public int fd
    cdef public bint failed
    cdef public bint unsent
    cdef public object transport
    cdef public Connection connection
    cdef public Reader reader
    cdef public bint accepted
    cdef void read(self, Py_ssize_t count) except *
    cdef int take(self, bytearray buffer, Py_ssize_t size, bint more) except -1
    cpdef void send(self) except *
    cpdef void write(self, bytes data) except *
