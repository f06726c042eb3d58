# A socket is written to without giving the interpreter to another thread, from which it would have to be taken back.
cdef extern from *:
    """
    #ifdef _WIN32
    static Py_ssize_t leveret_write(int descriptor, const char *data, Py_ssize_t size) {
        return 0;
    }
    #else
    #include <errno.h>
    #include <unistd.h>
    static Py_ssize_t leveret_write(int descriptor, const char *data, Py_ssize_t size) {
        Py_ssize_t written;
        do {
            written = write(descriptor, data, (size_t)size);
        } while (written < 0 && errno == EINTR);
        return written >= 0 ? written : errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
    }
    #endif
    """
    Py_ssize_t leveret_write(int descriptor, const char *data, Py_ssize_t size) noexcept
