cimport cython
from leveret.clock cimport ScheduledCall
from leveret.queues.backlog.ready cimport Backlog
from leveret.queues.backlog.paging cimport BacklogBlock, Pager
from leveret.queues.consumers cimport Consumer, QueueConsumers
from leveret.queues.journal cimport QueueJournal
from leveret.queues.limits cimport Limits
from leveret.queues.message cimport Destination, Entry, Message
from leveret.queues.context cimport VhostContext

cdef class Queue(Destination):
    cdef public str kind
    cdef public bint durable
    cdef public bint auto_delete
    cdef public object owner
    cdef public str user
    cdef public object arguments
    cdef public object options
    cdef public object policy
    cdef public object effective
    cdef public VhostContext context
    cdef public Limits limits
    cdef public QueueConsumers consumers
    cdef public Backlog backlog
    cdef public QueueJournal queue_journal
    cdef public str dead_letter_exchange
    cdef public str dead_letter_routing_key
    cdef public str crashed
    cdef public bint had_consumer
    cdef int max_priority
    cdef public unsigned long long position
    cdef public Py_ssize_t ready
    cdef public long long ready_bytes
    cdef public Py_ssize_t unacked
    cdef public long long unacked_bytes
    cdef Py_ssize_t rewritten
    cdef public Py_ssize_t withheld
    cdef public long long withheld_bytes
    cdef public long long published
    cdef public long long relayed
    cdef public long long delivered
    cdef public long long delivered_no_ack
    cdef public long long got
    cdef public long long got_no_ack
    cdef public long long got_empty
    cdef public long long acked
    cdef public long long redelivered
    cdef public bint retaining
    cdef bint has_ttl
    cdef ScheduledCall expiry
    cdef public object queue_expiry
    cdef bint overtaken
    cdef public bint delivering
    cdef public object reading
    cdef bint heads_expire
    cpdef long long operations(self)
    cpdef void restore(self, BacklogBlock block, Py_ssize_t level) except *
    cdef int add(self, Entry entry) except -1
    cdef int expiry_added(self, Entry entry, Py_ssize_t count) except -1
    cdef int deliver(self, Consumer consumer, Entry entry) except -1
    cdef int mark_unacked(self, Entry entry) except -1
    cdef Message message_to_deliver(self, Entry entry)
    cpdef void run(self) except *
    cdef bint deliver_ready(self, Py_ssize_t most) except -1
    cdef bint head_here(self) except -1
    cpdef Entry pop(self)
    cdef void refresh_expiry(self) except *
    cdef void expire_at(self, long long at) except *
    cpdef void drop_overflow(self) except *
    cdef bint overflows(self) except -1
    cdef bint drop_excess(self, Py_ssize_t most) except -1
    cpdef void drop_expired(self) except *
    cdef bint drop_due(self, long long now, Py_ssize_t most) except -1
    cdef void take_back(self, list[Entry] entries, int why) except *
    cdef void taken_back(self) except *
    cpdef void dead_letter(self, Entry entry, str reason, int why) except *
    cpdef void forget(self, Entry entry) except *
    cpdef void settle(self, Entry entry) except *
    cpdef void requeue(self, list[Entry] entries, int why) except *
    cpdef void reject(self, Entry entry, int why) except *
