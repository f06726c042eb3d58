cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Destination, Entry, Message, Source
from leveret.queues.context cimport VhostContext
from leveret.queues.tallies cimport DeliveryTally, DeliveryTotal, MessageSizes
from leveret.routing.exchanges cimport Exchange
from leveret.routing.router cimport Router
from leveret.session.base cimport ConnectionBase
from leveret.session.confirms cimport Confirms
from leveret.session.content cimport Content
from leveret.engine.tallies cimport PublishTally, RouteTally
from leveret.session.unacked cimport Unacked
from leveret.wire.content cimport Header

@cython.final
cdef class Channel:
    cdef public unsigned int number
    cdef public ConnectionBase connection
    cdef public object vhost
    cdef public object permissions
    cdef public bint asks
    cdef public object profile
    cdef public Router router
    cdef public VhostContext context
    cdef public Content content
    cdef public Unacked unacked
    cdef public dict consumers
    cdef public Confirms confirms
    cdef public object transaction
    cdef public bint closing
    cdef public bint gone
    cdef public unsigned long long tag
    cdef public unsigned int prefetch
    cdef public unsigned int global_prefetch
    cdef public unsigned int held
    cdef public unsigned int fetched
    cdef public str last_queue
    cdef public object reply_consumer
    cdef bytes exchange_name
    cdef bytes routing_key
    cdef Exchange exchange
    cdef long long access_revision
    cdef long long route_revision
    cdef list targets
    cdef Header header
    cdef public long long max_message_size
    cdef public bint returns_replies
    cdef public long long received
    cdef public long long held_publishes
    cdef Py_ssize_t copies
    cdef MessageSizes sizes
    cdef Py_ssize_t size
    cdef long long sized
    cdef public PublishTally tally
    cdef public dict publish_tallies
    cdef public dict delivery_tallies
    cdef public DeliveryTally ended_tally
    cdef Py_ssize_t tally_limit
    cdef public PublishTally ended_publishes
    cdef Py_ssize_t publish_limit
    cdef void publish(self, bytes whole, Py_ssize_t head, Py_ssize_t size) except *
    cdef void publish_joined(self) except *
    cpdef bint deliver(self, Message message, list[Destination] targets, bint mandatory, unsigned long long number, PublishTally tally) except -1
    cdef int count_work(self, Py_ssize_t copies) except -1
    cpdef DeliveryTally delivery_tally(self, Source source)
    cdef int count_ack(self, Entry entry) except -1
    cpdef void count_sizes(self) except *
    cdef int count_late_ack(self, DeliveryTally tally) except -1
    cdef DeliveryTotal delivery_total(self, Source source)
    cpdef bint on_settle(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int method) except -1
    cpdef void settle(self, list[Entry] entries, unsigned int method, bint requeue) except *
    cdef int release(self, Entry entry) except -1
    cdef int wake(self, Consumer consumer) except -1
    cpdef void confirm(self, unsigned long long number, long long ticket, bint refused, PublishTally tally) except *
    cpdef object publish_dead_letters(self)
    cpdef void acknowledge(self, list[Entry] entries) except *
    cpdef void reject(self, list[Entry] entries, int reason) except *
    cpdef void schedule_confirms(self) except *
    cpdef list blocked(self)
