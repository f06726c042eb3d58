cimport cython
from leveret.queues.backlog.paging cimport Pager
from leveret.queues.journal cimport StreamJournal

@cython.final
cdef class Page:
    cdef public unsigned long long first
    cdef public Py_ssize_t count
    cdef public long long began
    cdef public long long latest
    cdef public object data
    cdef public Py_ssize_t size
    cdef public unsigned long long segment
    cdef public long long at
    cdef public object where
    cdef public long long proof
    cdef public Page next
    cdef public bint gone

@cython.final
cdef class StreamSegment:
    cdef public unsigned long long first
    cdef public long long size
    cdef public long long latest

@cython.final
cdef class StreamLog:
    cdef public Pager pager
    cdef public list pages
    cdef public list segments
    cdef public unsigned long long end
    cdef public unsigned long long last
    cdef public long long size
    cdef public long long most
    cdef public long long age
    cdef public long long segment_size
    cdef public object discard
    cdef public Page page
    cdef public StreamSegment segment
    cdef long long chunk_tick
    cdef Py_ssize_t chunk_at
    cdef public StreamJournal stream_journal
    cpdef int open(self, long long now, long long tick) except -1
    cdef int begin(self, Page page) except -1
    cdef int seal(self) except -1
    cpdef void end_chunk(self) except *
    cpdef unsigned long long first(self) except? 0
    cpdef void append(self, bytes lead, bytes rest) except *
    cpdef Page following(self, Page page)
    cpdef object read(self, Page page)
    cpdef bint retain(self, long long now) except? -1

@cython.final
cdef class Cursor:
    cdef public object consumer
    cdef public unsigned long long offset
    cdef public Page page
    cdef public object data
    cdef public Py_ssize_t at
    cdef public bytes suffix
    cdef public object filters
    cdef public bint unfiltered
    cdef public bint wanted
    cdef public str broken
    cdef public object coming
    cdef public Page coming_page
    cdef public bint awaited
    cdef public long long held
    cpdef void hold(self, StreamLog log) except *
    cpdef void let_go(self, StreamLog log) except *
    cpdef Page here(self, StreamLog log)
    cdef Page next_page(self, StreamLog log, Page page)
    cdef int inspect(self, const unsigned char *p, Py_ssize_t end) except -1
    cdef bint fits(self, const unsigned char *p, Py_ssize_t at) except -1
    cdef bint matches(self, const unsigned char *p, Py_ssize_t end) except -1
