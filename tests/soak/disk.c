/* Faults of the disk, at a chosen operation of a process that preloads this library.

   Operations on paths under a folder are counted, each kind of fault counting those it can happen to. The one
   with the chosen number fails; of a full disk, all later ones too. A kill comes before the operation, and in a
   write after half of it. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FULL, IO, SHORT, PERMISSION, KILL };
#define ON(kind) (1 << (kind))
#define CREATES (ON(FULL) | ON(IO) | ON(PERMISSION) | ON(KILL))
#define OPENS (ON(IO) | ON(PERMISSION) | ON(KILL))
#define REMOVES (ON(IO) | ON(PERMISSION) | ON(KILL))
#define WRITES (ON(FULL) | ON(IO) | ON(SHORT) | ON(KILL))
#define SYNCS (ON(FULL) | ON(IO) | ON(KILL))
#define READS ON(IO)

static char root[PATH_MAX];
static char place[PATH_MAX + 32];
static int kind = NONE;
static long chosen, counted;

/* kind: one of the above; at: number of the operation, from 1; 0 only counts. */
void disk_arm(const char *folder, int fault, long at)
{
    strncpy(root, folder, sizeof root - 1);
    counted = 0;
    chosen = at;
    place[0] = 0;
    kind = fault;
}

long disk_counted(void) { return counted; }

/* The operation that failed first, such as "write /folder/file"; empty if none did. */
const char *disk_place(void) { return place; }

__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *folder = getenv("DISK_ROOT"), *fault = getenv("DISK_KIND"), *at = getenv("DISK_AT");
    if (folder && fault && at)
        disk_arm(folder, atoi(fault), atol(at));
}

static const char *path_of(int folder, const char *path, char *buffer)
{
    char link[64];
    ssize_t length = 0;
    if (path && path[0] == '/')
        return path;
    if (folder == AT_FDCWD) {
        if (!getcwd(buffer, PATH_MAX))
            return "";
        length = strlen(buffer);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        length = readlink(link, buffer, PATH_MAX - 1);
        if (length < 0)
            return "";
        buffer[length] = 0;
    }
    if (path)
        snprintf(buffer + length, PATH_MAX - length, "/%s", path);
    return buffer;
}

/* Whether this operation fails. */
static int struck(int applies, const char *operation, int folder, const char *path)
{
    char buffer[PATH_MAX];
    size_t length = strlen(root);
    int before = errno;
    if (!kind || !(applies & ON(kind)))
        return 0;
    path = path_of(folder, path, buffer);
    errno = before;
    if (strncmp(path, root, length) || (path[length] && path[length] != '/'))
        return 0;
    long number = __sync_add_and_fetch(&counted, 1);
    if (!chosen || number < chosen || (number > chosen && kind != FULL))
        return 0;
    if (number == chosen)
        snprintf(place, sizeof place, "%s %s", operation, path);
    return 1;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* The error number of the fault; a kill does not come back. */
static int fault(void)
{
    if (kind == KILL)
        die();
    return kind == FULL ? ENOSPC : kind == PERMISSION ? EACCES : EIO;
}

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define FAIL_IF(applies, operation, folder, path, value) \
    if (struck(applies, operation, folder, path)) { \
        errno = fault(); \
        return value; \
    }

static int kind_of_open(int flags)
{
    return flags & O_CREAT ? CREATES : OPENS;
}

#define OPEN(name, parameters, folder, path, arguments) \
    int name parameters \
    { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        REAL(name); \
        FAIL_IF(kind_of_open(flags), "open", folder, path, -1) \
        return real arguments; \
    }

OPEN(open, (const char *path, int flags, ...), AT_FDCWD, path, (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD, path, (path, flags, mode))
OPEN(openat, (int folder, const char *path, int flags, ...), folder, path, (folder, path, flags, mode))
OPEN(openat64, (int folder, const char *path, int flags, ...), folder, path, (folder, path, flags, mode))

DIR *opendir(const char *path)
{
    REAL(opendir);
    FAIL_IF(ON(IO) | ON(PERMISSION), "list", AT_FDCWD, path, NULL)
    return real(path);
}

ssize_t read(int file, void *data, size_t size)
{
    REAL(read);
    FAIL_IF(READS, "read", file, NULL, -1)
    return real(file, data, size);
}

ssize_t write(int file, const void *data, size_t size)
{
    REAL(write);
    if (struck(WRITES, "write", file, NULL)) {
        if (kind == SHORT)
            return real(file, data, size > 1 ? size / 2 : size);
        if (kind == KILL)
            real(file, data, size / 2);
        errno = fault();
        return -1;
    }
    return real(file, data, size);
}

ssize_t writev(int file, const struct iovec *parts, int count)
{
    REAL(writev);
    if (struck(WRITES, "write", file, NULL)) {
        if (kind == SHORT)
            return real(file, parts, 1);
        errno = fault();
        return -1;
    }
    return real(file, parts, count);
}

#define SENDFILE(name, offset_type) \
    ssize_t name(int out, int in, offset_type *offset, size_t size) \
    { \
        REAL(name); \
        if (struck(WRITES, "copy", out, NULL)) { \
            if (kind == SHORT) \
                return real(out, in, offset, size > 1 ? size / 2 : size); \
            errno = fault(); \
            return -1; \
        } \
        return real(out, in, offset, size); \
    }

SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

int fsync(int file)
{
    REAL(fsync);
    FAIL_IF(SYNCS, "fsync", file, NULL, -1)
    return real(file);
}

int msync(void *start, size_t size, int flags)
{
    REAL(msync);
    FAIL_IF(SYNCS, "msync", AT_FDCWD, root, -1)
    return real(start, size, flags);
}

#define TRUNCATE(name, type) \
    int name(int file, type size) \
    { \
        REAL(name); \
        FAIL_IF(SYNCS, "truncate", file, NULL, -1) \
        return real(file, size); \
    }

TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, type) \
    int name(int file, type start, type size) \
    { \
        REAL(name); \
        if (struck(SYNCS, "allocate", file, NULL)) \
            return fault(); \
        return real(file, start, size); \
    }

ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

#define MAP(name, type) \
    void *name(void *start, size_t size, int protection, int flags, int file, type offset) \
    { \
        REAL(name); \
        if (kind && file >= 0) \
            FAIL_IF(ON(IO) | ON(KILL), "map", file, NULL, MAP_FAILED) \
        return real(start, size, protection, flags, file, offset); \
    }

MAP(mmap, off_t)
MAP(mmap64, off64_t)

int rename(const char *from, const char *to)
{
    REAL(rename);
    FAIL_IF(CREATES, "rename", AT_FDCWD, to, -1)
    return real(from, to);
}

int link(const char *from, const char *to)
{
    REAL(link);
    FAIL_IF(CREATES, "link", AT_FDCWD, to, -1)
    return real(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    FAIL_IF(CREATES, "mkdir", AT_FDCWD, path, -1)
    return real(path, mode);
}

int unlink(const char *path)
{
    REAL(unlink);
    FAIL_IF(REMOVES, "unlink", AT_FDCWD, path, -1)
    return real(path);
}

int unlinkat(int folder, const char *path, int flags)
{
    REAL(unlinkat);
    FAIL_IF(REMOVES, "unlink", folder, path, -1)
    return real(folder, path, flags);
}

int rmdir(const char *path)
{
    REAL(rmdir);
    FAIL_IF(REMOVES, "rmdir", AT_FDCWD, path, -1)
    return real(path);
}
