/* rules_impl: what the files of this room share. */
#ifndef SP_INTERCEPT_RULES_IMPL_H
#define SP_INTERCEPT_RULES_IMPL_H

#include "intercept/rules.h"

/* Stands as a comment at a rule of TPROXY, so that whoever removes the table finds what else is to be
 * removed. */
#define SP_INTERCEPT_NOTE "\"mark=%u route_table=%u\""

/* Joins the list, merged with what it touches. SP_E_LIMIT leaves it as it was. */
sp_err sp_port_list_put(struct sp_port_list *list, uint16_t first, uint16_t last) SP_MUST_USE;
/* Reads the note back from `nft list table`; false when there is none. */
bool sp_intercept_read_note(sp_str listing, uint32_t *ret_mark, uint32_t *ret_route_table);

#endif
