/* rules: what is to be intercepted, and the text of it in nft's language. Pure: no file, no kernel, no user.
 *
 * A plan is a value of the caller's. Lists are kept sorted and without overlaps, as nft wants sets. */
#ifndef SP_INTERCEPT_RULES_H
#define SP_INTERCEPT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    SP_INTERCEPT_PORTS_MAX = 128, /* ranges in a list of ports */
    SP_INTERCEPT_NETS_MAX = 256,  /* networks in a list */
    SP_INTERCEPT_TABLE_BYTES = 64,
    SP_INTERCEPT_WHY_BYTES = 192,
};

struct sp_port_range {
    uint16_t first, last;
};

struct sp_port_list {
    bool given; /* an empty list that was given means: none */
    uint32_t count;
    struct sp_port_range ranges[SP_INTERCEPT_PORTS_MAX];
};

struct sp_net {
    sp_addr addr; /* port 0 */
    uint8_t bits;
};

struct sp_net_list {
    bool given;
    uint32_t count;
    struct sp_net nets[SP_INTERCEPT_NETS_MAX];
};

enum sp_intercept_mode { SP_INTERCEPT_REDIRECT, SP_INTERCEPT_TPROXY };

/* wide because it is a record of options. */
struct sp_intercept_plan {
    char table[SP_INTERCEPT_TABLE_BYTES];
    enum sp_intercept_mode mode; /* of the inbound side */
    uint32_t uid;                /* the sidecar's: what it sends goes where it wants */
    bool has_gid;
    uint32_t gid;
    uint16_t outbound_port, inbound_port;
    bool ip4, ip6;
    /* A connection is taken when an include list is absent or names it, and no exclude list does. */
    struct sp_port_list exclude_outbound, include_outbound, exclude_inbound, include_inbound;
    struct sp_net_list exclude_nets, include_nets; /* outbound, by destination */
    /* Addresses that the sidecar's inbound side calls the application from. When there are some, what the
     * sidecar sends to this machine's own addresses from any other comes in by the inbound port like a
     * stranger's. */
    struct sp_net_list inbound_source;
    uint32_t mark, route_table; /* TPROXY */
};

/* Table, ports, mark as they are by default; both families; uid 0: the caller has to set it. */
void sp_intercept_plan_init(struct sp_intercept_plan *plan);

/* "80,443,8000-8100" joins the list; "none" gives an empty one. On failure `why` (SP_INTERCEPT_WHY_BYTES)
 * says what is wrong and the list is as it was: SP_E_INVALID, SP_E_RANGE, SP_E_LIMIT. */
sp_err sp_port_list_add(struct sp_port_list *list, sp_str text, char *why) SP_MUST_USE;
/* "10.0.0.0/8,fd00::/8,192.0.2.1"; an address alone is a network of one. */
sp_err sp_net_list_add(struct sp_net_list *list, sp_str text, char *why) SP_MUST_USE;
/* A name that nft takes without quotes. */
sp_err sp_intercept_set_table(struct sp_intercept_plan *plan, sp_str name, char *why) SP_MUST_USE;

/* The whole transaction for `nft -f -`: takes the table away, if it is there, and makes it anew, at one
 * instant. */
void sp_intercept_print(const struct sp_intercept_plan *plan, struct sp_buf *out);
/* The transaction that takes it away; right also when it is not there. */
void sp_intercept_print_removal(const struct sp_intercept_plan *plan, struct sp_buf *out);

/* What TPROXY needs besides: packets with the mark are delivered here, whatever their address. The `i`-th
 * command, as words for `ip`, ends in NULL; false beyond the last. `storage` holds its numbers. */
struct sp_ip_command {
    const char *argv[16];
    char mark[16], table[16];
};
bool sp_intercept_ip_command(const struct sp_intercept_plan *plan, bool removal, uint32_t i,
                             struct sp_ip_command *ret_command);

#endif
