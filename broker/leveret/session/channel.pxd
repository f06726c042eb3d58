cimport cython
from leveret.queues.consumers cimport Consumer
from leveret.queues.message cimport Destination, Entry, Message, Source
from leveret.queues.context cimport VhostContext
from leveret.routing.exchanges cimport Exchange
from leveret.routing.router cimport Router
from leveret.session.confirms cimport Confirms
from leveret.session.output cimport Output
from leveret.session.unacked cimport Unacked
from leveret.wire.content cimport Header

@cython.final
cdef class Channel:
    cdef public unsigned int number
    cdef public Output output
    cdef public object connection
    cdef public object vhost
    cdef public Router router
    cdef public VhostContext context
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
    cdef public object used_at
    cdef public bint assembling
    cdef public bint headed
    cdef bytes exchange_name
    cdef bytes routing_key
    cdef bint mandatory
    cdef bint immediate
    cdef bytes head
    cdef list parts
    cdef unsigned long long missing
    cdef unsigned long long size
    cdef Exchange exchange
    cdef long long access_revision
    cdef long long route_revision
    cdef list targets
    cdef Header header
    cdef public long long max_message_size
    cdef public bint check_overrun
    cdef public bint returns_replies
    cdef public long long published
    cdef public long long returned
    cdef public long long dropped
    cdef public long long routed
    cdef public long long delivered
    cdef public long long delivered_no_ack
    cdef public long long got
    cdef public long long got_no_ack
    cdef public long long got_empty
    cdef public long long acked
    cdef public long long redelivered
    cpdef bint on_publish(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end) except -1
    cpdef void on_body(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end) except *
    cdef Py_ssize_t on_content(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, Py_ssize_t limit) except -2
    cdef void take_content(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, Py_ssize_t stop) except *
    cdef void accept(self, bytes content, Py_ssize_t head, Py_ssize_t size) except *
    cpdef bint deliver(self, Message message, list[Destination] targets, bint mandatory, unsigned long long number) except -1
    cpdef bint on_settle(self, const unsigned char *p, Py_ssize_t i, Py_ssize_t end, unsigned int method) except -1
    cpdef void settle(self, list[Entry] entries, unsigned int method, bint requeue) except *
    cdef void release(self, Entry entry) except *
    cdef void wake(self, Consumer consumer) except *
    cdef void confirm(self, unsigned long long number, long long ticket, bint refused) except *
    cpdef void schedule_confirms(self) except *
