/* client: who called, when proxies stand between: an address out of x-forwarded-for. */
#ifndef SP_PROXY_CLIENT_H
#define SP_PROXY_CLIENT_H

#include "base/addr.h"
#include "wire/call.h"

struct sp_chain_spec;

/* The address that the chain's terms trust, before the head is edited. False: it is whoever connected. */
bool sp_client_find(const struct sp_chain_spec *spec, const struct sp_head *head, sp_addr *ret_addr);

#endif
