cimport cython
from leveret.queues.message cimport Source

cdef class DeliveryTotal

@cython.final
cdef class DeliveryTally:
    cdef public Source source
    cdef DeliveryTotal total
    cdef public long long delivered
    cdef public long long delivered_no_ack
    cdef public long long got
    cdef public long long got_no_ack
    cdef public long long got_empty
    cdef public long long acked
    cdef public long long redelivered
    cpdef void add(self, DeliveryTally other) except *

@cython.final
cdef class DeliveryTotal:
    cdef readonly DeliveryTally ended
    cdef readonly set parts
    cpdef DeliveryTally begin(self, Source source)
    cpdef void end(self, DeliveryTally part) except *
    cpdef DeliveryTally sum(self)
    cpdef DeliveryTally kept(self)

@cython.final
cdef class MessageSizes:
    cdef public long long octets
    cdef public long long to_100
    cdef public long long to_1k
    cdef public long long to_10k
    cdef public long long to_100k
    cdef public long long to_1m
    cdef public long long to_10m
    cdef public long long to_50m
    cdef public long long to_100m
    cdef public long long larger
    cpdef void observe(self, Py_ssize_t size, long long count) noexcept
