cdef class FreePools:
    cdef readonly bint watched
    cdef int _known
