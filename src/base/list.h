/* list: an intrusive doubly linked ring. The link lives in the item; the head is a link too.
 *
 * Every head's comment says what hangs on it and by which field. A zeroed link is "on no list". */
#ifndef SP_BASE_LIST_H
#define SP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct sp_list {
    struct sp_list *next, *prev;
};

static inline void sp_list_init(struct sp_list *head)
{
    head->next = head->prev = head;
}

static inline bool sp_list_is_empty(const struct sp_list *head)
{
    return head->next == head;
}

static inline bool sp_list_is_on(const struct sp_list *link)
{
    return link->next != NULL;
}

static inline void sp_list_insert(struct sp_list *before, struct sp_list *link)
{
    SP_ASSERT(!link->next);
    link->prev = before->prev;
    link->next = before;
    before->prev->next = link;
    before->prev = link;
}

/* At the tail / at the head. */
static inline void sp_list_push(struct sp_list *head, struct sp_list *link)
{
    sp_list_insert(head, link);
}

static inline void sp_list_push_first(struct sp_list *head, struct sp_list *link)
{
    sp_list_insert(head->next, link);
}

/* Off whatever list it is on; a link on none is fine. */
static inline void sp_list_remove(struct sp_list *link)
{
    if (!link->next)
        return;
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = NULL;
}

/* NULL when empty. */
static inline struct sp_list *sp_list_pop_first(struct sp_list *head)
{
    struct sp_list *link = head->next;
    if (link == head)
        return NULL;
    sp_list_remove(link);
    return link;
}

#define SP_LIST_FIRST(head, type, field)                                                                     \
    (sp_list_is_empty(head) ? NULL : SP_CONTAINER((head)->next, type, field))
/* The body may remove `it`, nothing else. `it_next` is a scratch link. */
#define SP_LIST_EACH(head, it, it_next, type, field)                                                         \
    for (struct sp_list *it_next = (head)->next, *it##_link = it_next;                                       \
         it##_link != (head) && (it_next = it##_link->next, it = SP_CONTAINER(it##_link, type, field), 1);   \
         it##_link = it_next)

#endif
