from leveret.queues.message cimport Entry, Message

cdef class PagedContent:
    cdef public object block
    cdef public unsigned int offset
    cdef public unsigned int size
    cdef public unsigned int body
    cdef unsigned int crc
    cdef public object extra
    cpdef bytes read(self)

cpdef PagedContent absent_content(Entry entry)
cdef Message _with_content(Message message, bytes content)
