from leveret.clock cimport Agenda, Clock
from leveret.queues.blocks cimport Pager
from leveret.queues.journal cimport Journal

cdef class Surroundings:
    cdef public Clock clock
    cdef public Agenda agenda
    cdef public Journal journal
    cdef public Pager pager
    cdef public long long consumer_timeout
    cdef public list deaths
    cdef public object remove
    cdef public object bury
    cdef public object firehose
