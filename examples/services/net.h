/* net: what the three example services share: listen, dial, whole reads and writes. Plain blocking sockets,
 * as in any small program: the services know nothing of the mesh. */
#ifndef EXAMPLES_NET_H
#define EXAMPLES_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A socket on 127.0.0.1:port, or the end of the program with words. */
int net_listen(uint16_t port);
/* -1 when nobody answers. */
int net_dial(uint16_t port);
/* Serve each connection in a thread of its own, for ever. */
void net_serve(int listener, void (*serve)(int fd));
/* All `len` bytes, or false. */
bool net_read(int fd, void *to, size_t len);
bool net_write(int fd, const void *from, size_t len);
/* One line without its end, at most `room` - 1 bytes; false at the end of the connection. */
bool net_line(int fd, char *to, size_t room);
/* The port given as argument `at`, or the end of the program with words. */
uint16_t net_port(int argc, char **argv, int at, const char *usage);
/* True once in `n` times, on average. */
bool net_chance(unsigned n);
/* A time of work, in microseconds: `mean_us` on average, seldom ten times as much. */
void net_work(unsigned mean_us);

#endif
