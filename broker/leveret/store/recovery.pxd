cimport cython
from leveret.queues.blocks cimport Block, Pager
from leveret.queues.queue cimport Queue
from leveret.store.log cimport DiskLedger
from leveret.store.positions cimport Positions
from leveret.wire.frames cimport Outbox

@cython.final
cdef class Run:
    cdef public Queue queue
    cdef public Pager pager
    cdef public list blocks
    cdef Outbox out
    cdef Py_ssize_t count
    cdef long long bodies
    cdef unsigned long long last
    cdef bint mortal
    cpdef void close(self) except *

@cython.final
cdef class Found:
    cdef public DiskLedger ledger
    cdef public Queue queue
    cdef public Positions settled
    cdef public dict settled_in
    cdef public Positions handed
    cdef public dict counts
    cdef public unsigned long long last
    cdef public dict levels
    cdef Run run(self, Py_ssize_t level, unsigned long long position)

@cython.final
cdef class Survey:
    cdef public dict queues
    cdef public set dropped
    cdef public dict twins
    cdef public set needs
    cdef public dict marks
    cdef public long long live
    cdef public long long total
    cdef Found found(self, unsigned int number)
    cpdef void look(self, bytes data, Py_ssize_t at, Py_ssize_t end, unsigned int segment) except *
    cdef Py_ssize_t look_at_message(self, bytes data, Py_ssize_t at) except -1
    cdef void look_at_run(self, bytes data, Py_ssize_t at, unsigned int kind, unsigned int segment) except *
    cdef void look_at_counts(self, bytes data, Py_ssize_t at) except *
    cpdef void fetch(self, bytes data, Py_ssize_t at, Py_ssize_t end, unsigned int segment) except *
    cdef void fetch_message(self, bytes data, Py_ssize_t at, unsigned int segment) except *
    cdef bint alive(self, unsigned int number, unsigned long long position, unsigned int segment) except -1
    cdef void ghost(self, Found found, unsigned long long position, unsigned int segment) except *
    cdef void fetch_entry(self, bytes data, Py_ssize_t at, Py_ssize_t message, Py_ssize_t end, unsigned int segment) except *

cdef unsigned int body_of(bytes data, Py_ssize_t at) noexcept
cdef int priority_of(bytes data, Py_ssize_t at) noexcept
