/* addr: where something is: IPv4, IPv6, or the path of a Unix socket. A small value; a path is borrowed
 * from configuration or an arena that outlives it. */
#ifndef SP_BASE_ADDR_H
#define SP_BASE_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

enum sp_addr_family { SP_ADDR_NONE, SP_ADDR_IP4, SP_ADDR_IP6, SP_ADDR_UNIX };

typedef struct {
    union {
        uint8_t ip[16];   /* network order; IPv4 uses the first 4 bytes */
        const char *path; /* SP_ADDR_UNIX: NUL-terminated; '@' first = abstract */
    };
    uint16_t port;  /* host order */
    uint8_t family; /* enum sp_addr_family */
} sp_addr;

enum { SP_ADDR_TEXT_BYTES = 128 };

/* Numeric only: "10.0.0.1", "::1", "[::1]"; names are SP_E_INVALID. */
sp_err sp_addr_parse_ip(sp_str ip, uint16_t port, sp_addr *ret_addr) SP_MUST_USE;
/* "1.2.3.4:80", "[::1]:80"; SP_E_INVALID otherwise. */
sp_err sp_addr_parse(sp_str text, sp_addr *ret_addr) SP_MUST_USE;
/* "1.2.3.4:80", "[::1]:80", the path; returns the length, always NUL-terminated. */
size_t sp_addr_print(const sp_addr *addr, char *out, size_t out_bytes);
/* Without the port. */
size_t sp_addr_print_ip(const sp_addr *addr, char *out, size_t out_bytes);
bool sp_addr_eq(const sp_addr *a, const sp_addr *b);
uint64_t sp_addr_hash(const sp_addr *a);
/* Is `a` within `net`/`bits`? Families must agree. */
bool sp_addr_in_net(const sp_addr *a, const sp_addr *net, uint32_t bits);
bool sp_addr_is_loopback(const sp_addr *a);

#endif
