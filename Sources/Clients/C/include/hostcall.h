/*
 * Hostcall's C interface: call functions that live in other processes, and serve your own.
 *
 *   hostcall_context *context;
 *   if (hostcall_connect(NULL, &context) != HOSTCALL_OK) { puts(hostcall_last_error()); return 1; }
 *   hostcall_result result = HOSTCALL_RESULT_INIT;
 *   if (hostcall_call_wait(context, "upper", NULL, "hello", 5, &result) == HOSTCALL_OK)
 *     printf("%.*s\n", (int)result.size, (const char *)result.data);
 *   hostcall_result_free(&result);
 *   hostcall_close(context);
 *
 * Rules that hold everywhere
 *
 * Status.   Every function that can fail returns a hostcall_status. HOSTCALL_OK is 0. After any other, hostcall_last_error()
 *           has a sentence for people: what was attempted, what happened, what to do.
 * Misuse.   Nothing that is passed in stops the process: a null pointer is HOSTCALL_NULL_POINTER, text that is not UTF-8
 *           HOSTCALL_INVALID_UTF8, a context that was closed HOSTCALL_CLOSED, a structure of another size or a number that
 *           was never given out HOSTCALL_INVALID_ARGUMENT or HOSTCALL_UNKNOWN_CALL. (A pointer that is neither null nor
 *           valid cannot be told from a good one; contexts can, for they are numbers in disguise.)
 * Threads.  Every function may be called from any thread, any number at a time, also from inside a callback.
 * Owners.   What you pass in stays yours and is copied before the function returns. What a callback is given is the
 *           library's and good until the callback returns. What you own is a hostcall_result or hostcall_buffer that a
 *           function has filled; you free each of them once, and freeing again does nothing.
 * Calls.    A callback runs on a thread of the library's, never on the one that reads the socket, so it may block and may
 *           call anything here. Callbacks about the same call, stream or subscription run one after another in order;
 *           others run at the same time. A context that was made with HOSTCALL_POLLED has no such threads: its callbacks
 *           run inside hostcall_poll() and inside functions that wait, on the thread that called those.
 *           Callbacks may not throw, and may not leave by longjmp. The library's threads take no signals.
 * Forks.    A child that was made by fork() must not use the library before exec: the library's threads stay behind.
 * Sizes.    Structures that may grow begin with their own size; the ..._INIT macros set it. A program that was compiled with
 *           this header runs with every later library of the same HOSTCALL_ABI_VERSION.
 *
 * What the protocol says about calls, deadlines, streams and events is in the protocol's description; sections that are
 * named here are that one's.
 */
#ifndef HOSTCALL_H
#define HOSTCALL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------------
 * Versions and errors
 */

/* Rises with a change that a program compiled with an older header would misread. */
#define HOSTCALL_ABI_VERSION 1

/* How something ended. Those of the protocol (section 6) may come from the daemon, a worker or this library; 96 to 98 are
 * found by this library alone. */
typedef int32_t hostcall_status;
enum {
  HOSTCALL_OK = 0,
  HOSTCALL_NULL_POINTER = 1,     /* a required pointer was null */
  HOSTCALL_BUFFER_TOO_SMALL = 2,
  HOSTCALL_INVALID_UTF8 = 3,
  HOSTCALL_SERIALIZATION = 4,    /* the payload could not be encoded or decoded */
  HOSTCALL_PANIC = 5,            /* the host function crashed and was caught at the boundary */
  HOSTCALL_TIMEOUT = 6,
  HOSTCALL_NOT_FOUND = 7,        /* nobody has registered that name */
  HOSTCALL_LOCK_POISONED = 8,    /* kept; never sent by the daemon */
  HOSTCALL_FAILED = 10,          /* the host function answered with an error; the payload is that error */
  HOSTCALL_CANCELLED = 11,
  HOSTCALL_WORKER_LOST = 12,     /* the worker went away while it may have been running the call */
  HOSTCALL_UNAVAILABLE = 13,     /* the name is known, but no worker for it can be had now */
  HOSTCALL_OVERLOADED = 14,      /* a limit is reached; nothing was started, trying later is safe */
  HOSTCALL_DENIED = 15,          /* policy refuses it */
  HOSTCALL_TOO_LARGE = 16,
  HOSTCALL_PROTOCOL = 17,
  HOSTCALL_VERSION = 18,         /* no version in common: of the protocol, or of this interface */
  HOSTCALL_SHUTTING_DOWN = 19,
  HOSTCALL_ALREADY_REGISTERED = 20,
  HOSTCALL_INVALID_ARGUMENT = 21,
  HOSTCALL_UNKNOWN_CALL = 22,    /* a call that was never given out by this context */
  HOSTCALL_LATE = 23,            /* the call had ended: by deadline, cancel, or loss of a connection */
  HOSTCALL_DUPLICATE = 24,       /* the call had been completed before */
  HOSTCALL_CALLER_LOST = 25,
  HOSTCALL_CANNOT_CONNECT = 96,  /* the daemon cannot be reached; nothing was started */
  HOSTCALL_CONNECTION_LOST = 97, /* the connection ended first; what was under way may or may not have run */
  HOSTCALL_CLOSED = 98,          /* the context is closed */
  HOSTCALL_UNKNOWN = 99          /* an error without a better name */
};

/* What a payload's bytes are. 128 to 255 are the application's own; the rest is reserved. */
enum { HOSTCALL_RAW = 0, HOSTCALL_JSON = 1, HOSTCALL_CBOR = 2 };

/* HOSTCALL_ABI_VERSION of the library that runs. */
uint32_t hostcall_abi_version(void);

/* HOSTCALL_OK where a program compiled with `abi_version` can use the library that runs, else HOSTCALL_VERSION:
 * hostcall_check_abi(HOSTCALL_ABI_VERSION) before anything else. */
hostcall_status hostcall_check_abi(uint32_t abi_version);

/* The library's version, such as "0.1.0". Never freed. */
const char *hostcall_version(void);

/* What went wrong last on this thread, for people; empty where nothing did. Good until the next function of this library
 * fails on this thread. Never null. */
const char *hostcall_last_error(void);

/* A status in words, such as "NOT_FOUND"; "APPLICATION" from 128 to 255, "UNKNOWN" for what has no name. Never freed. */
const char *hostcall_status_name(hostcall_status status);

/* ------------------------------------------------------------------------------------------------------------------
 * Contexts
 */

/* One connection to a daemon, or one bridge of one's own, with everything that belongs to it. */
typedef struct hostcall_context hostcall_context;

enum {
  /* The library starts no thread that runs callbacks: they run in hostcall_poll() and while a function waits. */
  HOSTCALL_POLLED = 1,
  /* The context is over when its connection is lost. Without this it connects again: at once and then ever more slowly
   * (10 ms to 5 s) where it has host functions or subscriptions, which come back; otherwise with the next call. */
  HOSTCALL_NO_RECONNECT = 2
};

typedef struct hostcall_context_options {
  size_t struct_size;
  /* hostcall_connect: the daemon's socket; null for $HOSTCALL_SOCKET, else hostcall.sock in the first folder of
   * $RUNTIME_DIRECTORY, else in $XDG_RUNTIME_DIR, else, for root, in /run/hostcall. hostcall_open: where other processes
   * may connect, at most 107 bytes; null for nowhere. */
  const char *socket_path;
  /* Who this is, for the daemon's log and tools, such as "indexer/1.4"; null for the program's name. */
  const char *client_name;
  /* How long connecting may take; 0 for 5,000. */
  uint32_t connect_timeout_milliseconds;
  /* Threads that may run callbacks at once, started when they are needed; 0 for 256. Callbacks beyond it wait, so a callback
   * that waits for another one of the same context needs a second thread. */
  uint32_t thread_limit;
  /* HOSTCALL_POLLED, HOSTCALL_NO_RECONNECT. */
  uint32_t flags;
  uint32_t reserved;
} hostcall_context_options;
#define HOSTCALL_CONTEXT_OPTIONS_INIT { sizeof(hostcall_context_options), NULL, NULL, 0, 0, 0, 0 }

/* Connects to a daemon and waits for its welcome. `options` may be null.
 * HOSTCALL_CANNOT_CONNECT says which socket was tried. */
hostcall_status hostcall_connect(const hostcall_context_options *options, hostcall_context **context);

/* Opens a bridge in this process: what a daemon does, without one. Host functions of this context, and of processes that
 * connect to `socket_path`, can be called from here and from there, with the same rules. The bridge ends with the context,
 * and with it the calls of others. `options` may be null. HOSTCALL_CANNOT_CONNECT says why others could not connect. */
hostcall_status hostcall_open(const hostcall_context_options *options, hostcall_context **context);

/* Ends a context at once: calls under way end with HOSTCALL_CLOSED, and what host functions answer from now on goes
 * nowhere. When it returns, no callback of the context runs or will, each `release` has run, and the context's memory is
 * gone; called from inside one of the context's own callbacks it does not wait for that one, whose end is then the end.
 * In a polled context the callbacks that are left run in here. Host functions whose calls nobody has begun with are not
 * called any more, and events that wait are not told. Two contexts whose callbacks close each other wait for each other.
 * A second close is HOSTCALL_CLOSED; null does nothing. */
hostcall_status hostcall_close(hostcall_context *context);

/* Leaves in good order: takes no new calls, waits until those that run are completed and their results are sent, for at
 * most so many milliseconds, and then closes. HOSTCALL_TIMEOUT where that was cut short; it is closed then, too. Called from
 * inside a host function it waits for that one as for others. */
hostcall_status hostcall_shutdown(hostcall_context *context, uint32_t grace_milliseconds);

/* Waits until the daemon has answered: it has then seen everything that was sent before. HOSTCALL_CONNECTION_LOST where
 * there is no connection; it makes none. */
hostcall_status hostcall_ping(hostcall_context *context);

/* For a context made with HOSTCALL_POLLED: a descriptor that is readable while callbacks wait for hostcall_poll(). It is
 * the context's; do not read or close it. -1 where there is none. */
int hostcall_poll_fd(hostcall_context *context);

/* Runs the callbacks that wait, on this thread, and gives their number in `callbacks`, which may be null. Where none
 * waits, waits for one: 0 not at all, -1 without end, else so many milliseconds. It runs those that wait when it is
 * called, and none that come meanwhile, so that it returns. HOSTCALL_CONNECTION_LOST where none waits and none will come,
 * because the connection was lost and the context makes no other (HOSTCALL_NO_RECONNECT).
 * A callback that waits runs others meanwhile, up to 64 inside of each other; past that it only waits. */
hostcall_status hostcall_poll(hostcall_context *context, int32_t timeout_milliseconds, uint32_t *callbacks);

/* ------------------------------------------------------------------------------------------------------------------
 * What travels
 */

/* A text that travels beside a payload (section 2). A key is 1 to 64 bytes of a-z 0-9 -, a value UTF-8; all of them
 * together at most 65,535 bytes. Keys that begin with hostcall- are the daemon's. */
typedef struct hostcall_metadata {
  const char *key;
  const char *value;
} hostcall_metadata;

/* Who found an error. */
enum { HOSTCALL_FROM_DAEMON = 0, HOSTCALL_FROM_WORKER = 1, HOSTCALL_FROM_LIBRARY = 2 };

/* How a call ended. In a callback it is the library's; from hostcall_call_wait() it is yours to free. */
typedef struct hostcall_result {
  size_t struct_size;
  hostcall_status status;
  /* Of a status other than HOSTCALL_OK: who found it. */
  int32_t origin;
  /* The number by which worker, logs and tools know the call; 0 where none was issued. */
  uint64_t correlation_id;
  /* The result; of a status other than HOSTCALL_OK, what came with it. */
  const uint8_t *data;
  size_t size;
  const hostcall_metadata *metadata;
  size_t metadata_count;
  /* For people: what happened, empty with HOSTCALL_OK. Never null where the library has filled it. */
  const char *message;
  /* What data's bytes are. */
  uint32_t encoding;
  uint32_t reserved;
  /* Whose memory the pointers are in; 0 for none. */
  uint64_t handle;
} hostcall_result;
#define HOSTCALL_RESULT_INIT { sizeof(hostcall_result), 0, 0, 0, NULL, 0, NULL, 0, NULL, 0, 0, 0 }

/* Frees what a result refers to and empties it. A result that was freed, copies of it, and null do nothing. */
void hostcall_result_free(hostcall_result *result);

/* Memory of the library's that is yours, to build a result in. */
typedef struct hostcall_buffer {
  uint8_t *data;
  size_t size;
  /* Whose memory data is; 0 for none. */
  uint64_t handle;
} hostcall_buffer;
#define HOSTCALL_BUFFER_INIT { NULL, 0, 0 }

/* Gives a buffer of so many bytes, all of them 0. `buffer` must be empty: HOSTCALL_BUFFER_INIT, freed, or given away.
 * HOSTCALL_OVERLOADED where there is no memory. */
hostcall_status hostcall_buffer_alloc(size_t size, hostcall_buffer *buffer);

/* Frees a buffer and empties it. A buffer that was freed or given away, copies of it, and null do nothing. */
void hostcall_buffer_free(hostcall_buffer *buffer);

/* ------------------------------------------------------------------------------------------------------------------
 * Calling
 */

/* One item of a stream. */
typedef struct hostcall_item {
  const uint8_t *data;
  size_t size;
  uint32_t encoding;
  uint32_t reserved;
} hostcall_item;

/* A call has ended. Runs exactly once for each call that hostcall_call() has taken, after all of its items. */
typedef void (*hostcall_result_function)(hostcall_context *context, uint64_t request, const hostcall_result *result,
                                         void *user_data);

/* An item has come: a result of the request `id`, or an argument of the call `id`. A null item says that no more arguments
 * follow; after the last result comes the result function. */
typedef void (*hostcall_item_function)(hostcall_context *context, uint64_t id, const hostcall_item *item,
                                       void *user_data);

/* There is room for an item again after hostcall_send_item() had none. */
typedef void (*hostcall_room_function)(hostcall_context *context, uint64_t id, void *user_data);

enum {
  /* Where nobody has registered the name, wait for somebody until the deadline. */
  HOSTCALL_WAIT = 1,
  /* The call may run more than once: if its worker is lost, it is sent to another one. */
  HOSTCALL_IDEMPOTENT = 2,
  /* No result is wanted, whatever happens. */
  HOSTCALL_NO_REPLY = 4,
  /* Argument items follow, by hostcall_send_item() and hostcall_end_items(). */
  HOSTCALL_ARGUMENTS = 8
};

typedef struct hostcall_call_options {
  size_t struct_size;
  /* How long the call may take in all; 0 for the daemon's default (30,000). */
  uint32_t timeout_milliseconds;
  /* What the payload's bytes are: HOSTCALL_RAW, HOSTCALL_JSON, … */
  uint32_t encoding;
  /* HOSTCALL_WAIT, HOSTCALL_IDEMPOTENT, HOSTCALL_NO_REPLY, HOSTCALL_ARGUMENTS. Without a reply there are no items. */
  uint32_t flags;
  /* How many result items may come at first, 1,048,576 at most; 0 where none are wanted. More by hostcall_add_credit(). */
  uint32_t item_credit;
  const hostcall_metadata *metadata;
  size_t metadata_count;
  /* The call that is being answered meanwhile: this one gets no more time than that one has left, and its trace. 0 for the
   * one whose host function runs on this thread, if there is one. */
  uint64_t inside;
  /* Called with result items; required where item_credit is not 0. */
  hostcall_item_function on_item;
  /* Called when argument items may be sent again; may be null. */
  hostcall_room_function on_room;
} hostcall_call_options;
#define HOSTCALL_CALL_OPTIONS_INIT { sizeof(hostcall_call_options), 0, 0, 0, 0, NULL, 0, 0, NULL, NULL }

/* Begins a call (section 4, Calling). With HOSTCALL_OK the call is on its way, `on_result` runs once when it has ended, and
 * `request`, which may be null, is its number in this context. With another status nothing was begun.
 * `options` may be null; `data` may be null where `size` is 0. With HOSTCALL_NO_REPLY alone `on_result` may be null; where
 * it is not, it runs once the call is on its way, and tells HOSTCALL_OK. */
hostcall_status hostcall_call(hostcall_context *context, const char *name, const hostcall_call_options *options,
                              const void *data, size_t size, hostcall_result_function on_result, void *user_data,
                              uint64_t *request);

/* Makes a call and waits until it has ended. Returns the result's status; `result`, which may be null, has the rest and is
 * the caller's to free, whatever the status. It must be empty: HOSTCALL_RESULT_INIT, or freed. Result items are not for
 * here: options with item_credit or HOSTCALL_ARGUMENTS are HOSTCALL_INVALID_ARGUMENT. */
hostcall_status hostcall_call_wait(hostcall_context *context, const char *name, const hostcall_call_options *options,
                                   const void *data, size_t size, hostcall_result *result);

/* Ends a call: its outcome is HOSTCALL_CANCELLED, or what was already on its way. HOSTCALL_LATE where it has ended. */
hostcall_status hostcall_cancel(hostcall_context *context, uint64_t request);

/* ------------------------------------------------------------------------------------------------------------------
 * Serving
 */

/* A call, as its host function gets it. */
typedef struct hostcall_invocation {
  size_t struct_size;
  /* Its number in this context, never used again: what hostcall_host_complete() wants. */
  uint64_t call_id;
  /* The number by which caller, logs and tools know the call. */
  uint64_t correlation_id;
  /* The name that was called; where a pattern was registered it is the full name. */
  const char *name;
  const uint8_t *data;
  size_t size;
  const hostcall_metadata *metadata;
  size_t metadata_count;
  /* What is left until it ends by itself. */
  uint32_t timeout_milliseconds;
  /* What data's bytes are. */
  uint32_t encoding;
  /* HOSTCALL_IDEMPOTENT: it may have been sent to a worker before. HOSTCALL_ARGUMENTS: items follow, see
   * hostcall_function_options. HOSTCALL_ITEMS_TAKEN: the caller takes result items. */
  uint32_t flags;
  uint32_t reserved;
} hostcall_invocation;
enum { HOSTCALL_ITEMS_TAKEN = 16 };

/* A host function. It ends its call by hostcall_host_complete(), before it returns or later, from any thread. A call that
 * is never completed ends at its deadline, but holds one of the function's places. */
typedef void (*hostcall_function)(hostcall_context *context, const hostcall_invocation *invocation, void *user_data);

/* A call is over before it was completed: by deadline, by its caller, or with the connection (HOSTCALL_WORKER_LOST). It
 * runs once at most, after the host function has begun, and may run while that still does. The call should be completed
 * soon all the same, with any status. */
typedef void (*hostcall_cancel_function)(hostcall_context *context, uint64_t call_id, hostcall_status why,
                                         void *user_data);

/* The last user of `user_data` is gone. Runs exactly once, whatever happens, after the last callback with it. */
typedef void (*hostcall_release_function)(void *user_data);

/* How a registration joins others of its name (section 4, Registering). */
enum {
  HOSTCALL_SHARED = 0,    /* joins the others of that name */
  HOSTCALL_EXCLUSIVE = 1, /* is refused if anyone has the name, and keeps everyone else out */
  HOSTCALL_REPLACE = 2    /* takes all new and queued calls of other programs that have the name; see
                             hostcall_register_host_fn() for a name that this context has itself */
};

enum {
  /* Beside HOSTCALL_IDEMPOTENT: invocations have the metadata hostcall-caller-uid, -gid, -pid and -session. */
  HOSTCALL_CALLER_IDENTITY = 32
};

typedef struct hostcall_function_options {
  size_t struct_size;
  /* Calls that run at once; 0 for the daemon's default (64). */
  uint32_t concurrency;
  /* The longest that a call may run; 0 for the daemon's maximum. */
  uint32_t timeout_milliseconds;
  /* HOSTCALL_SHARED, HOSTCALL_EXCLUSIVE, HOSTCALL_REPLACE. */
  uint32_t mode;
  /* HOSTCALL_IDEMPOTENT: a call may be sent again to another worker if this one is lost. HOSTCALL_CALLER_IDENTITY. */
  uint32_t flags;
  /* Each may be null. They are given the function's user_data, and none is called before the host function is. on_item is
   * called with argument items, of which none come before hostcall_add_credit() asks for some, nor does their end. */
  hostcall_cancel_function on_cancel;
  hostcall_item_function on_item;
  hostcall_room_function on_room;
} hostcall_function_options;
#define HOSTCALL_FUNCTION_OPTIONS_INIT { sizeof(hostcall_function_options), 0, 0, 0, 0, NULL, NULL, NULL }

/* Registers a host function under a name or pattern such as "files.*", and waits for the daemon's answer. `options` and
 * `release` may be null. With a status other than HOSTCALL_OK nothing was registered, and `release` has not run and will
 * not: user_data is still the caller's.
 *
 * A name that this context has already is HOSTCALL_ALREADY_REGISTERED; with HOSTCALL_REPLACE the new function takes its
 * place for calls that begin from now on, under the concurrency, time and flags of the first one, whose `release` runs when
 * its last call has ended. That never waits for a call that runs, and the daemon does not hear of it: what other programs
 * have of the name stays as it is. */
hostcall_status hostcall_register_host_fn(hostcall_context *context, const char *name,
                                          const hostcall_function_options *options, hostcall_function function,
                                          void *user_data, hostcall_release_function release);

/* Ends a registration and does not wait: calls that the daemon had sent before it knew still come, what runs goes on, and
 * `release` runs after the last of them. HOSTCALL_NOT_FOUND where this context has no such name. */
hostcall_status hostcall_unregister_host_fn(hostcall_context *context, const char *name);

/* Ends a call (section 4, Completing), with HOSTCALL_OK and a result, or with 1 to 8, HOSTCALL_FAILED, HOSTCALL_CANCELLED,
 * HOSTCALL_UNKNOWN or 128 to 255 and an error as bytes; any other status is HOSTCALL_INVALID_ARGUMENT, and the call goes on.
 * `data` may be null where `size` is 0. A result that is larger than the daemon takes is HOSTCALL_OK here, and
 * HOSTCALL_TOO_LARGE for the caller.
 *
 *   HOSTCALL_OK            it was taken
 *   HOSTCALL_LATE          the call was over before: nobody gets the result, but its place is free now
 *   HOSTCALL_DUPLICATE     it had been completed; HOSTCALL_LATE where more than 4,096 calls have ended since
 *   HOSTCALL_UNKNOWN_CALL  this context never gave out that number for a call
 *   HOSTCALL_CLOSED        the context is closed */
hostcall_status hostcall_host_complete(hostcall_context *context, uint64_t call_id, hostcall_status status,
                                       const void *data, size_t size);

/* The same with everything that a result can have. */
typedef struct hostcall_completion {
  size_t struct_size;
  hostcall_status status;
  uint32_t encoding;
  const void *data;
  size_t size;
  const hostcall_metadata *metadata;
  size_t metadata_count;
} hostcall_completion;
#define HOSTCALL_COMPLETION_INIT { sizeof(hostcall_completion), 0, 0, NULL, 0, NULL, 0 }
hostcall_status hostcall_host_complete_with(hostcall_context *context, uint64_t call_id,
                                            const hostcall_completion *completion);

/* The same with a buffer, which is given away and empty afterwards, unless the status is HOSTCALL_INVALID_ARGUMENT or
 * HOSTCALL_NULL_POINTER. */
hostcall_status hostcall_host_complete_buffer(hostcall_context *context, uint64_t call_id, hostcall_status status,
                                              hostcall_buffer *buffer);

/* HOSTCALL_OK while a call runs, HOSTCALL_LATE once it is over, HOSTCALL_DUPLICATE once it was completed: for a host
 * function that wants to know from time to time whether anybody still waits. */
hostcall_status hostcall_call_state(hostcall_context *context, uint64_t call_id);

/* ------------------------------------------------------------------------------------------------------------------
 * Streams (section 4, Streams). An id is that of a request that this context makes, or of a call that it answers.
 */

/* Sends an item: a result of the call `id`, or an argument of the request `id`. HOSTCALL_OVERLOADED where there is no room
 * now, because the other side has given no more credit or the socket is full; `on_room` runs once there is.
 * HOSTCALL_LATE where the call has ended, HOSTCALL_INVALID_ARGUMENT where nobody takes items. */
hostcall_status hostcall_send_item(hostcall_context *context, uint64_t id, const void *data, size_t size,
                                   uint32_t encoding);

/* The same, but waits for room, at most so many milliseconds, then HOSTCALL_TIMEOUT; UINT32_MAX until the call ends. */
hostcall_status hostcall_send_item_wait(hostcall_context *context, uint64_t id, const void *data, size_t size,
                                        uint32_t encoding, uint32_t timeout_milliseconds);

/* No more arguments follow. */
hostcall_status hostcall_end_items(hostcall_context *context, uint64_t request);

/* So many more items may come. */
hostcall_status hostcall_add_credit(hostcall_context *context, uint64_t id, uint32_t items);

/* ------------------------------------------------------------------------------------------------------------------
 * Events (section 4, Events)
 */

typedef struct hostcall_event {
  size_t struct_size;
  const char *name;
  const uint8_t *data;
  size_t size;
  const hostcall_metadata *metadata;
  size_t metadata_count;
  uint32_t encoding;
  /* Not 0 where the connection was lost since the event before, so that an unknown number never came. */
  uint32_t follows_gap;
  /* How many were dropped since the one before because this subscriber was too slow. */
  uint64_t dropped_before;
} hostcall_event;

/* An event has come. Where it is slower than the events, the oldest that wait are dropped: past 1,024, or 8 MiB. */
typedef void (*hostcall_event_function)(hostcall_context *context, uint64_t subscription, const hostcall_event *event,
                                        void *user_data);

/* Subscribes to a name, a pattern such as "door.*", or "*", and waits for the daemon's answer: everything that is published
 * from then on comes. `release` may be null; `subscription` has the number for hostcall_unsubscribe() and may be null.
 * With a status other than HOSTCALL_OK, user_data is still the caller's. */
hostcall_status hostcall_subscribe(hostcall_context *context, const char *pattern, hostcall_event_function on_event,
                                   void *user_data, hostcall_release_function release, uint64_t *subscription);

/* Ends a subscription and does not wait: `release` runs after the last event. HOSTCALL_NOT_FOUND where there is none of
 * that number. */
hostcall_status hostcall_unsubscribe(hostcall_context *context, uint64_t subscription);

typedef struct hostcall_publish_options {
  size_t struct_size;
  uint32_t encoding;
  uint32_t reserved;
  const hostcall_metadata *metadata;
  size_t metadata_count;
} hostcall_publish_options;
#define HOSTCALL_PUBLISH_OPTIONS_INIT { sizeof(hostcall_publish_options), 0, 0, NULL, 0 }

/* Publishes an event. Where `subscribers` is not null it waits for the daemon's answer, which is how many there were; else
 * it returns when the event is on its way, and the daemon may refuse it without a word. `options` may be null. */
hostcall_status hostcall_publish(hostcall_context *context, const char *name, const hostcall_publish_options *options,
                                 const void *data, size_t size, uint32_t *subscribers);

#ifdef __cplusplus
}
#endif

/* ------------------------------------------------------------------------------------------------------------------
 * The layout that library and program agree on, on machines with pointers of 8 bytes.
 */
#if UINTPTR_MAX == UINT64_MAX
#ifdef __cplusplus
#define HOSTCALL_ASSERT(condition, text) static_assert(condition, text)
#else
#define HOSTCALL_ASSERT(condition, text) _Static_assert(condition, text)
#endif
HOSTCALL_ASSERT(sizeof(hostcall_context_options) == 40 && offsetof(hostcall_context_options, flags) == 32, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_metadata) == 16 && offsetof(hostcall_metadata, value) == 8, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_result) == 80 && offsetof(hostcall_result, correlation_id) == 16 &&
                    offsetof(hostcall_result, message) == 56 && offsetof(hostcall_result, handle) == 72,
                "layout");
HOSTCALL_ASSERT(sizeof(hostcall_buffer) == 24 && offsetof(hostcall_buffer, handle) == 16, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_item) == 24 && offsetof(hostcall_item, encoding) == 16, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_call_options) == 64 && offsetof(hostcall_call_options, metadata) == 24 &&
                    offsetof(hostcall_call_options, on_room) == 56,
                "layout");
HOSTCALL_ASSERT(sizeof(hostcall_invocation) == 80 && offsetof(hostcall_invocation, name) == 24 &&
                    offsetof(hostcall_invocation, flags) == 72,
                "layout");
HOSTCALL_ASSERT(sizeof(hostcall_function_options) == 48 && offsetof(hostcall_function_options, on_cancel) == 24,
                "layout");
HOSTCALL_ASSERT(sizeof(hostcall_completion) == 48 && offsetof(hostcall_completion, data) == 16, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_event) == 64 && offsetof(hostcall_event, dropped_before) == 56, "layout");
HOSTCALL_ASSERT(sizeof(hostcall_publish_options) == 32 && offsetof(hostcall_publish_options, metadata) == 16, "layout");
#undef HOSTCALL_ASSERT
#endif

#endif
