from leveret.clock cimport Agenda, Clock
from leveret.queues.backlog.paging cimport Pager
from leveret.queues.journal cimport Journal

cdef class VhostContext:
    cdef public Clock clock
    cdef public Agenda agenda
    cdef public Journal journal
    cdef public Pager pager
    cdef public long long consumer_timeout
    cdef public list dead_letters
    cdef public long busy
    cdef public object work
    cdef public object remove
    cdef public object publish_dead_letters
    cdef public object crashed
    cdef public object unreadable
    cdef public object firehose
    cdef public object interceptor
    cdef public object history
    cdef public dict delivery_totals
