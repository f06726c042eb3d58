# Arenas and pools of CPython's allocator for small objects (Objects/obmalloc.c; Include/internal/pycore_obmalloc.h).
# Their layout is not public. It is the same in Python 3.11 to 3.14, and `leveret_pools_known` looks whether this is so.
cdef extern from *:
    """
    #if defined(__linux__) && SIZEOF_VOID_P == 8 && PY_VERSION_HEX < 0x030F0000 && !defined(Py_GIL_DISABLED)
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <unistd.h>

    #define LEVERET_ARENA ((size_t)1 << 20)
    #define LEVERET_POOL ((size_t)1 << 14)
    #define LEVERET_NO_SIZE 0xffff /* of a pool whose blocks were never made, or no longer count */

    typedef struct {
        union { void *padding; unsigned int count; } used; /* blocks */
        void *free_block;
        void *next, *previous;
        unsigned int arena, size, next_offset, last_offset;
    } leveret_pool;

    static PyObjectArenaAllocator leveret_system;
    static char **leveret_arenas; /* those that were made since leveret_watch */
    static size_t leveret_count, leveret_room, leveret_next;

    static void *leveret_alloc(void *context, size_t size) {
        char *arena = leveret_system.alloc(leveret_system.ctx, size);
        if (arena == NULL || size != LEVERET_ARENA)
            return arena;
        if (leveret_count == leveret_room) {
            size_t room = leveret_room ? leveret_room * 2 : 64;
            char **larger = realloc(leveret_arenas, room * sizeof(char *));
            if (larger == NULL)
                return arena; /* it is not looked at */
            leveret_arenas = larger;
            leveret_room = room;
        }
        leveret_arenas[leveret_count++] = arena;
        return arena;
    }

    static void leveret_free(void *context, void *arena, size_t size) {
        for (size_t i = leveret_count; i-- > 0;)
            if (leveret_arenas[i] == arena) {
                leveret_arenas[i] = leveret_arenas[--leveret_count];
                break;
            }
        leveret_system.free(leveret_system.ctx, arena, size);
    }

    static int leveret_watch(void) {
        PyObjectArenaAllocator ours = {NULL, leveret_alloc, leveret_free};
        PyObject_GetArenaAllocator(&leveret_system);
        PyObject_SetArenaAllocator(&ours);
        return 1;
    }

    static leveret_pool *leveret_pool_of(void *block) {
        return (leveret_pool *)((uintptr_t)block & ~(uintptr_t)(LEVERET_POOL - 1));
    }

    static int leveret_is_ours(void *block) {
        for (size_t i = 0; i < leveret_count; i++)
            if ((char *)leveret_pool_of(block) >= leveret_arenas[i] &&
                (char *)block < leveret_arenas[i] + LEVERET_ARENA)
                return 1;
        return 0;
    }

    /* Fill a pool with blocks of one size, free them, and look at its header: 1 if it is as expected, 0 if not, -1 if no
       pool was filled in one of our arenas. Nothing is read outside of these. */
    static int leveret_pools_known(void) {
        enum { SIZE = 448, FULL = (16384 - 48) / SIZE, MOST = 256 * FULL };
        static void *blocks[MOST];
        size_t made = 0, same = 0;
        int known = -1;
        while (made < MOST && known < 0) {
            void *block = PyObject_Malloc(SIZE);
            if (block == NULL)
                break;
            blocks[made++] = block;
            same = made > 1 && leveret_pool_of(blocks[made - 2]) == leveret_pool_of(block) ? same + 1 : 1;
            if (same == FULL && leveret_is_ours(block)) {
                leveret_pool *pool = leveret_pool_of(block);
                known = pool->used.count == FULL && pool->size == (SIZE - 1) / 16 &&
                        pool->last_offset == LEVERET_POOL - SIZE;
                while (same-- > 0)
                    PyObject_Free(blocks[--made]);
                known = known && pool->used.count == 0 && pool->free_block != NULL;
            }
        }
        while (made > 0)
            PyObject_Free(blocks[--made]);
        return known;
    }

    /* Give back free pools of the next arenas, about `most` of them, and look at no more than eight times as many. The
       header, on the first page, has the link to the next free pool; with LEVERET_NO_SIZE in it the allocator makes the
       blocks anew. */
    static void leveret_release(size_t most) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE), seen = 0, given = 0;
        if (page * 2 > LEVERET_POOL)
            return;
        for (; leveret_next < leveret_count && given < most && seen < 8 * most; leveret_next++) {
            char *arena = leveret_arenas[leveret_next];
            char *at = (char *)leveret_pool_of(arena + LEVERET_POOL - 1);
            for (; at + LEVERET_POOL <= arena + LEVERET_ARENA; at += LEVERET_POOL, seen++) {
                leveret_pool *pool = (leveret_pool *)at;
                if (pool->used.count || pool->free_block == NULL || pool->size == LEVERET_NO_SIZE)
                    continue;
                pool->size = LEVERET_NO_SIZE;
                madvise(at + page, LEVERET_POOL - page, MADV_DONTNEED);
                given++;
            }
        }
        if (leveret_next >= leveret_count)
            leveret_next = 0;
    }
    #else
    static size_t leveret_next;
    static int leveret_watch(void) { return 0; }
    static int leveret_pools_known(void) { return 0; }
    static void leveret_release(size_t most) {}
    #endif
    """
    size_t leveret_next
    int leveret_watch() noexcept
    int leveret_pools_known() noexcept
    void leveret_release(size_t most) noexcept
