cimport cython
from leveret.queues.message cimport Entry, Message, Source
from leveret.queues.tallies cimport DeliveryTally

cdef class Consumer:
    cdef public str tag
    cdef public Source source
    cdef public bint no_ack
    cdef public bint exclusive
    cdef public long long priority
    cdef public unsigned int limit
    cdef public unsigned int prefetch
    cdef public unsigned int held
    cdef public unsigned long long blocked_order
    cdef public unsigned int stale
    cdef public bint gone
    cdef public object options
    cdef public object arguments
    cdef public object cursor
    cdef public long long timeout
    cdef public DeliveryTally tally
    cpdef bint ready(self) except -1
    cpdef void take(self, Message message, Entry entry, bint redelivered) except *
    cpdef void read(self, const unsigned char *p, Py_ssize_t at, Py_ssize_t properties, Py_ssize_t body, bytes suffix, Entry entry) except *
    cpdef void cancelled(self) except *

@cython.final
cdef class QueueConsumers:
    cdef list rotation
    cdef Py_ssize_t head
    cdef bint by_rank
    cdef list ranked
    cdef list former
    cdef unsigned long long order
    cdef bint held
    cdef public dict members
    cdef Py_ssize_t leaving
    cdef public list dropped
    cdef list places
    cdef public bint single_active
    cdef public Consumer active
    cdef public object waiting
    cdef long long first_priority
    cdef unsigned long long blocked_count
    cdef bint has_next(self) except -1
    cdef Consumer next_ranked(self)
    cdef Consumer first_ranked(self)
    cdef int pass_over(self, Consumer consumer) except -1
    cdef void step(self) except *
    cdef bint heap_is_next(self) except -1
    cdef list first_heap(self)
    cdef int sweep(self) except -1
    cdef int drop_gone(self) except -1
    cdef void take_out(self, Consumer consumer) except *
    cpdef list in_rotation(self)
    cpdef void clear_rotation(self) except *
    cpdef list remove_all(self)
    cpdef Consumer next(self)
    cpdef void add(self, Consumer consumer) except *
    cpdef bint remove(self, Consumer consumer) except -1
    cpdef void wake(self, Consumer consumer) except *
    cpdef void enqueue(self, Consumer consumer) except *
    cdef void leave(self, Consumer consumer) except *
