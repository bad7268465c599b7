#pragma once

// A library to be preloaded into a program under test (LD_PRELOAD): system calls of Unix stream sockets then fail, or do
// less than they could, at seeded random points.
//
// HOSTCALL_FAULTS is a list such as `seed=7,recv-short=3000,send-enobufs=20`: a seed, and for each fault how many of ten
// thousand calls meet it. An unknown name ends the program, so that no test tests nothing.
//
//   recv-eintr recv-eagain recv-enomem recv-econnreset recv-short                     of recvmsg
//   send-eintr send-eagain send-enobufs send-enomem send-etoomanyrefs send-econnreset send-short   of sendmsg
//   accept-eintr accept-eagain accept-econnaborted accept-emfile accept-enfile accept-enobufs accept-enomem  of accept4
//   wait-eintr                                                                        of epoll_wait and epoll_pwait
//   clock-jump                    of clock_gettime for the time of day, gettimeofday and time: somebody has set the clock
//
// A connection that is reset is really over: the peer sees its end. A short receive or send moves at least one byte, and
// control data stays with the byte that it belongs to. EAGAIN comes only where the call would not wait.
// send-etoomanyrefs comes only where descriptors are sent.
//
// HOSTCALL_FAULTS_REPORT names a file that the program writes at its end: a line with name and count for each fault.
// Programs that the program starts are left alone, but for HOSTCALL_VALGRIND: see Valgrind.swift.
