#define _GNU_SOURCE
#include "FaultInjection.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

enum system_call { RECEIVE, SEND, ACCEPT, WAIT, CLOCK };

// What a fault is beside an errno value.
enum { SHORT = -1, JUMP = -2 };

struct fault {
    const char *name;
    enum system_call call;
    int code;
    unsigned rate;
    atomic_ulong count;
};

static struct fault faults[] = {
    {"recv-eintr", RECEIVE, EINTR, 0, 0},
    {"recv-eagain", RECEIVE, EAGAIN, 0, 0},
    {"recv-enomem", RECEIVE, ENOMEM, 0, 0},
    {"recv-econnreset", RECEIVE, ECONNRESET, 0, 0},
    {"recv-short", RECEIVE, SHORT, 0, 0},
    {"send-eintr", SEND, EINTR, 0, 0},
    {"send-eagain", SEND, EAGAIN, 0, 0},
    {"send-enobufs", SEND, ENOBUFS, 0, 0},
    {"send-enomem", SEND, ENOMEM, 0, 0},
    {"send-etoomanyrefs", SEND, ETOOMANYREFS, 0, 0},
    {"send-econnreset", SEND, ECONNRESET, 0, 0},
    {"send-short", SEND, SHORT, 0, 0},
    {"accept-eintr", ACCEPT, EINTR, 0, 0},
    {"accept-eagain", ACCEPT, EAGAIN, 0, 0},
    {"accept-econnaborted", ACCEPT, ECONNABORTED, 0, 0},
    {"accept-emfile", ACCEPT, EMFILE, 0, 0},
    {"accept-enfile", ACCEPT, ENFILE, 0, 0},
    {"accept-enobufs", ACCEPT, ENOBUFS, 0, 0},
    {"accept-enomem", ACCEPT, ENOMEM, 0, 0},
    {"wait-eintr", WAIT, EINTR, 0, 0},
    {"clock-jump", CLOCK, JUMP, 0, 0},
};

enum { FAULT_COUNT = sizeof faults / sizeof faults[0], RATE_UNIT = 10000, MAXIMUM_PIECES = 64 };

static _Atomic uint64_t random_state;

// SplitMix64, as in the tests' generator.
static uint64_t next_random(void)
{
    uint64_t mixed = atomic_fetch_add(&random_state, 0x9e3779b97f4a7c15) + 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static void refuse(const char *reason, const char *detail)
{
    fprintf(stderr, "HOSTCALL_FAULTS: %s: %s\n", reason, detail);
    abort();
}

static void set(const char *name, const char *value)
{
    char *end;
    uint64_t number = strtoull(value, &end, 10);
    if (*value == '\0' || *end != '\0') refuse("no number", value);
    if (strcmp(name, "seed") == 0) {
        atomic_store(&random_state, number);
        return;
    }
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (strcmp(faults[i].name, name) != 0) continue;
        if (number > RATE_UNIT) refuse("more than ten thousand", value);
        faults[i].rate = (unsigned)number;
        return;
    }
    refuse("unknown fault", name);
}

__attribute__((constructor)) static void read_plan(void)
{
    const char *text = getenv("HOSTCALL_FAULTS");
    if (text != NULL) {
        char *copy = strdup(text), *position = NULL;
        for (char *entry = strtok_r(copy, ",", &position); entry; entry = strtok_r(NULL, ",", &position)) {
            char *equals = strchr(entry, '=');
            if (equals == NULL) refuse("not name=number", entry);
            *equals = '\0';
            set(entry, equals + 1);
        }
        free(copy);
    }
    // Under valgrind this may be the program that starts it, which has to pass it on.
    if (getenv("HOSTCALL_VALGRIND") == NULL) unsetenv("LD_PRELOAD");
}

__attribute__((destructor)) static void write_report(void)
{
    const char *path = getenv("HOSTCALL_FAULTS_REPORT");
    if (path == NULL) return;
    FILE *file = fopen(path, "w");
    if (file == NULL) refuse("cannot write the report", path);
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (faults[i].rate > 0) fprintf(file, "%s %lu\n", faults[i].name, atomic_load(&faults[i].count));
    }
    fclose(file);
}

// The fault that this call meets, or NULL.
static struct fault *draw(enum system_call call)
{
    unsigned drawn = (unsigned)(next_random() % RATE_UNIT), below = 0;
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (faults[i].call != call) continue;
        below += faults[i].rate;
        if (drawn < below) return &faults[i];
    }
    return NULL;
}

static int is_unix_stream(int descriptor)
{
    int domain = 0, type = 0;
    socklen_t size = sizeof domain;
    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_UNIX) return 0;
    size = sizeof type;
    return getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static int would_not_wait(int descriptor, int flags)
{
    return (flags & MSG_DONTWAIT) != 0 || (fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0;
}

// Whether this call meets the fault after all; then it is counted.
static int applies(struct fault *fault, int descriptor, const struct msghdr *message, int flags)
{
    int before = errno;
    int does = is_unix_stream(descriptor);
    if (fault->code == EAGAIN) does = does && would_not_wait(descriptor, flags);
    if (fault->code == ETOOMANYREFS) does = does && message->msg_controllen > 0;
    errno = before;
    if (does) atomic_fetch_add(&fault->count, 1);
    return does;
}

// Fills `pieces` with the start of the message's, a random number of bytes of all but at least one.
static void shorten(const struct msghdr *message, struct msghdr *shortened, struct iovec *pieces)
{
    size_t total = 0, count = message->msg_iovlen < MAXIMUM_PIECES ? message->msg_iovlen : MAXIMUM_PIECES;
    for (size_t i = 0; i < count; i++) total += message->msg_iov[i].iov_len;
    // Half of the time just a few bytes, so that headers are cut too.
    size_t most = total > 40 && next_random() % 2 ? 40 : total;
    size_t left = total == 0 ? 0 : 1 + next_random() % most;
    *shortened = *message;
    shortened->msg_iov = pieces;
    shortened->msg_iovlen = 0;
    for (size_t i = 0; i < count && left > 0; i++) {
        pieces[i] = message->msg_iov[i];
        if (pieces[i].iov_len > left) pieces[i].iov_len = left;
        left -= pieces[i].iov_len;
        shortened->msg_iovlen = i + 1;
    }
}

static ssize_t fail(struct fault *fault, int descriptor)
{
    if (fault->code == ECONNRESET) shutdown(descriptor, SHUT_RDWR);
    errno = fault->code;
    return -1;
}

// Looked up at the first call, whichever thread makes it.
#define REAL(name) \
    static __typeof__(name) *_Atomic looked_up; \
    __typeof__(name) *real = looked_up; \
    if (real == NULL) looked_up = real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    struct fault *fault = draw(RECEIVE);
    if (fault == NULL || !applies(fault, descriptor, message, flags)) return real(descriptor, message, flags);
    if (fault->code != SHORT) return fail(fault, descriptor);
    struct iovec pieces[MAXIMUM_PIECES];
    struct msghdr shortened;
    shorten(message, &shortened, pieces);
    ssize_t received = real(descriptor, &shortened, flags);
    message->msg_namelen = shortened.msg_namelen;
    message->msg_controllen = shortened.msg_controllen;
    message->msg_flags = shortened.msg_flags;
    return received;
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    struct fault *fault = draw(SEND);
    if (fault == NULL || !applies(fault, descriptor, message, flags)) return real(descriptor, message, flags);
    if (fault->code != SHORT) return fail(fault, descriptor);
    struct iovec pieces[MAXIMUM_PIECES];
    struct msghdr shortened;
    shorten(message, &shortened, pieces);
    return real(descriptor, &shortened, flags);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *length, int flags)
{
    REAL(accept4);
    struct fault *fault = draw(ACCEPT);
    if (fault == NULL || !applies(fault, descriptor, NULL, 0)) return real(descriptor, address, length, flags);
    return (int)fail(fault, descriptor);
}

static int wait_is_interrupted(void)
{
    struct fault *fault = draw(WAIT);
    if (fault == NULL) return 0;
    atomic_fetch_add(&fault->count, 1);
    errno = EINTR;
    return 1;
}

int epoll_wait(int descriptor, struct epoll_event *events, int most, int timeout)
{
    REAL(epoll_wait);
    return wait_is_interrupted() ? -1 : real(descriptor, events, most, timeout);
}

int epoll_pwait(int descriptor, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
    REAL(epoll_pwait);
    return wait_is_interrupted() ? -1 : real(descriptor, events, most, timeout, mask);
}

// Some second of the years from 1970 to 2106, where somebody has just set the clock to it.
static int jumps(time_t *seconds)
{
    struct fault *fault = draw(CLOCK);
    if (fault == NULL) return 0;
    atomic_fetch_add(&fault->count, 1);
    *seconds = (time_t)(next_random() >> 32);
    return 1;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    REAL(clock_gettime);
    int outcome = real(clock, time);
    if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) jumps(&time->tv_sec);
    return outcome;
}

int gettimeofday(struct timeval *time, void *zone)
{
    REAL(gettimeofday);
    int outcome = real(time, zone);
    if (outcome == 0) jumps(&time->tv_sec);
    return outcome;
}

time_t time(time_t *result)
{
    REAL(time);
    time_t seconds = real(NULL);
    jumps(&seconds);
    if (result != NULL) *result = seconds;
    return seconds;
}
