cimport cython
from leveret.queues.backlog.paging cimport BacklogBlock, Pager
from leveret.queues.backlog.returned cimport ReturnedEntries
from leveret.queues.journal cimport QueueJournal
from leveret.queues.message cimport Entry

cdef class Backlog:
    cdef public Py_ssize_t length
    cpdef void push(self, Entry entry) except *
    cpdef void requeue(self, list[Entry] entries) except *
    cpdef Entry first(self)
    cpdef Entry pop(self)
    cpdef bint whole(self) except -1
    cpdef bint here(self, bint every) except -1
    cpdef object bring(self, bint every)
    cpdef object bring_to_settle(self)
    cpdef void accept(self, BacklogBlock block, Py_ssize_t level) except *
    cpdef Py_ssize_t level_of(self, int priority) except -1
    cpdef void release(self) except *
    cpdef bint release_some(self, QueueJournal journal) except -1

@cython.final
cdef class Fifo(Backlog):
    cdef Pager pager
    cdef list front
    cdef Py_ssize_t front_at
    cdef object middle
    cdef list back
    cdef long long back_weight
    cdef ReturnedEntries returned
    cdef Py_ssize_t priority
    cdef long long weight
    cdef void count(self, long long weight) noexcept
    cdef void pack_back(self) except *
    cpdef bint page_out(self, BacklogBlock block) except -1
    cdef int refill(self) except -1
    cdef list unpack_next(self, object middle)
    cdef Entry deliverable(self, Entry entry)
    cdef object absent(self, ReturnedEntries returned)
    cdef Entry take_returned(self, ReturnedEntries returned)
    cdef void release_block(self, QueueJournal journal) except *

@cython.final
cdef class Levels(Backlog):
    cdef list levels
    cdef list waiting
    cdef Py_ssize_t top
    cdef Py_ssize_t default
    cdef Pager pager
    cdef Fifo fifo(self, Py_ssize_t priority)
    cdef int begin(self, Fifo fifo) except -1
    cpdef list[Entry] heads(self)
    cpdef list[Entry] take_expired(self, long long now, Py_ssize_t most)
