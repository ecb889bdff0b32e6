/* http: a request line, headers that are read over, a body by its length. */
#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net.h"

enum { LINE = 8192 };

/* Headers up to the empty line; the length of the body behind them. */
static bool read_headers(int fd, size_t *ret_body_bytes)
{
    char line[LINE];
    *ret_body_bytes = 0;
    while (net_line(fd, line, sizeof(line))) {
        if (line[0] == '\0')
            return true;
        if (strncasecmp(line, "content-length:", 15) == 0)
            *ret_body_bytes = strtoul(line + 15, NULL, 10);
    }
    return false;
}

bool http_read_request(int fd, char *path, size_t room)
{
    char line[LINE];
    size_t body_bytes;
    if (!net_line(fd, line, sizeof(line)) || !read_headers(fd, &body_bytes) || body_bytes)
        return false;
    char *from = strchr(line, ' ');
    char *to = from ? strchr(from + 1, ' ') : NULL;
    if (!to || (size_t)(to - from) > room)
        return false;
    *to = '\0';
    snprintf(path, room, "%s", from + 1);
    return true;
}

bool http_write_answer(int fd, unsigned status, const char *body)
{
    char out[LINE];
    int n = snprintf(out, sizeof(out),
                     "HTTP/1.1 %u %s\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n\r\n%s", status,
                     status < 400 ? "OK" : "Error", strlen(body), body);
    return net_write(fd, out, (size_t)n);
}

unsigned http_get(int fd, const char *host, const char *path, char *body, size_t room)
{
    char out[LINE], line[LINE];
    size_t body_bytes;
    int n = snprintf(out, sizeof(out), "GET %s HTTP/1.1\r\nhost: %s\r\n\r\n", path, host);
    if (!net_write(fd, out, (size_t)n) || !net_line(fd, line, sizeof(line)) || !read_headers(fd, &body_bytes))
        return 0;
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 || body_bytes >= room || !net_read(fd, body, body_bytes))
        return 0;
    body[body_bytes] = '\0';
    return (unsigned)strtoul(line + 9, NULL, 10);
}
