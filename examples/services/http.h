/* http: as much of HTTP/1.1 as the examples speak: a request without a body, an answer with one. */
#ifndef EXAMPLES_HTTP_H
#define EXAMPLES_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The path of the next request; its headers are read over. False at the end of the connection. */
bool http_read_request(int fd, char *path, size_t room);
bool http_write_answer(int fd, unsigned status, const char *body);
/* GET http://<host><path> on an open connection. The status, 0 when the connection broke. */
unsigned http_get(int fd, const char *host, const char *path, char *body, size_t room);

#endif
