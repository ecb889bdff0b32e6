/* host: machines of the simulated world: their loops, the numbers that stand for descriptors, and what cuts
 * two machines from each other.
 *
 * A number is the lowest that is free, as POSIX promises: so one that was given away and is used once more
 * hits somebody else's connection here as it would there. Numbers of a machine begin far above real
 * descriptors, and each machine has its own range: the wrong machine's number is found out at once.
 *
 * Readiness is a level. A file that may have become ready is put on its loop's list (sp_sim_file_touch); the
 * loop asks it when it waits, and keeps it on the list for as long as it is. */
#include "io/sim/sim_impl.h"

#include <string.h>

#include "base/mem.h"

/* --- machines and loops --------------------------------------------------------------------------------- */

static struct sp_loop *loop_new(struct sp_sim_machine *machine)
{
    struct sp_sim *sim = machine->sim;
    struct sp_sim_loop *l = sp_mem_zalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->sim = sim;
    l->machine = machine;
    l->index = ++sim->loop_count;
    sp_list_init(&l->ready);
    /* No free slabs are kept: under AddressSanitizer a view that outlived its slab is found at once. */
    struct sp_loop_config config = { .keep_slab_bytes = 1 };
    sp_loop_init(&l->loop, &sp_sim_body, &config, sp_rng_next(&sim->rng));
    sp_list_push(&sim->loops, &l->link);
    return &l->loop;
}

struct sp_loop *sp_sim_host(struct sp_sim *sim, const char *ip)
{
    sp_addr addr;
    if (sp_addr_parse_ip(sp_str_c(ip), 0, &addr))
        return NULL;
    struct sp_sim_machine *machine = sp_mem_zalloc(sizeof(*machine));
    if (!machine)
        return NULL;
    machine->sim = sim;
    machine->ip = addr;
    machine->index = ++sim->machine_count;
    machine->first_number = SP_SIM_FIRST_NUMBER * (int)machine->index;
    machine->next_port = 32768;
    sp_list_init(&machine->listeners);
    sp_list_push(&sim->machines, &machine->link);
    return loop_new(machine);
}

struct sp_loop *sp_sim_loop(struct sp_sim *sim, struct sp_loop *host)
{
    (void)sim;
    return loop_new(sp_sim_loop_of(host)->machine);
}

void sp_sim_machine_free(struct sp_sim_machine *machine)
{
    SP_ASSERT(machine->open == 0); /* a descriptor that nobody closed */
    SP_ASSERT(sp_list_is_empty(&machine->listeners));
    sp_list_remove(&machine->link);
    sp_mem_free(machine->files);
    sp_mem_free(machine);
}

struct sp_sim_machine *sp_sim_machine_at(struct sp_sim *sim, const sp_addr *addr, struct sp_sim_machine *from)
{
    static const uint8_t any[16];
    if (sp_addr_is_loopback(addr) || !memcmp(addr->ip, any, sizeof(any)))
        return from;
    struct sp_sim_machine *m;
    SP_LIST_EACH(&sim->machines, m, next, struct sp_sim_machine, link)
        if (m->ip.family == addr->family && !memcmp(m->ip.ip, addr->ip, sizeof(addr->ip)))
            return m;
    return NULL;
}

void sp_sim_redirect_out(struct sp_loop *app, uint16_t port)
{
    sp_sim_loop_of(app)->redirect_out = port;
}

void sp_sim_redirect_in(struct sp_loop *host, uint16_t port)
{
    sp_sim_loop_of(host)->machine->redirect_in = port;
}

/* --- partitions and crashes ----------------------------------------------------------------------------- */

bool sp_sim_is_cut(const struct sp_sim *sim, const struct sp_sim_machine *a, const struct sp_sim_machine *b)
{
    const struct sp_sim_cut *cut;
    SP_LIST_EACH(&sim->cuts, cut, next, struct sp_sim_cut, link)
        if ((cut->a == a && cut->b == b) || (cut->a == b && cut->b == a))
            return true;
    return false;
}

static void heal_all(struct sp_sim *sim)
{
    struct sp_sim_cx *cx;
    SP_LIST_EACH(&sim->cxs, cx, next, struct sp_sim_cx, link) {
        sp_sim_end_heal(&cx->end[0]);
        sp_sim_end_heal(&cx->end[1]);
    }
}

void sp_sim_partition(struct sp_sim *sim, struct sp_loop *a, struct sp_loop *b, bool cut)
{
    const struct sp_sim_machine *ma = sp_sim_loop_of(a)->machine, *mb = sp_sim_loop_of(b)->machine;
    sp_sim_note(sim, cut ? "cut" : "heal", 0, ma->index, mb->index);
    if (cut && !sp_sim_is_cut(sim, ma, mb)) {
        struct sp_sim_cut *made = sp_mem_zalloc(sizeof(*made));
        SP_ASSERT(made);
        made->a = ma;
        made->b = mb;
        sp_list_push(&sim->cuts, &made->link);
    }
    if (cut)
        return;
    struct sp_sim_cut *at;
    SP_LIST_EACH(&sim->cuts, at, next, struct sp_sim_cut, link)
        if ((at->a == ma && at->b == mb) || (at->a == mb && at->b == ma)) {
            sp_list_remove(&at->link);
            sp_mem_free(at);
        }
    heal_all(sim);
}

void sp_sim_crash(struct sp_sim *sim, struct sp_loop *host)
{
    struct sp_sim_machine *machine = sp_sim_loop_of(host)->machine;
    sp_sim_note(sim, "crash", 0, machine->index, 0);
    struct sp_sim_cx *cx;
    SP_LIST_EACH(&sim->cxs, cx, next, struct sp_sim_cx, link)
        if (cx->end[0].file.machine == machine || cx->end[1].file.machine == machine)
            sp_sim_cx_cut(cx);
}

/* --- numbers -------------------------------------------------------------------------------------------- */

void sp_sim_limit_files(struct sp_sim *sim, struct sp_loop *host, uint32_t most)
{
    (void)sim;
    sp_sim_loop_of(host)->machine->limit = most;
}

uint32_t sp_sim_open_files(const struct sp_sim *sim, const struct sp_loop *host)
{
    (void)sim;
    return sp_sim_loop_of(host)->machine->open;
}

static void grow(struct sp_sim_machine *machine)
{
    uint32_t cap = machine->file_cap ? machine->file_cap * 2 : 16;
    struct sp_sim_file **files = sp_sim_alloc(machine->sim, cap * sizeof(struct sp_sim_file *));
    if (machine->files)
        memcpy(files, machine->files, machine->file_cap * sizeof(struct sp_sim_file *));
    sp_mem_free(machine->files);
    machine->files = files;
    machine->file_cap = cap;
}

sp_err sp_sim_file_open(struct sp_sim_machine *machine, struct sp_sim_file *file)
{
    if (machine->limit && machine->open >= machine->limit) {
        machine->sim->counts.no_file++;
        return SP_E_NOFILE;
    }
    uint32_t at = 0;
    while (at < machine->file_cap && machine->files[at])
        at++;
    if (at == machine->file_cap)
        grow(machine);
    machine->files[at] = file;
    machine->open++;
    file->machine = machine;
    file->number = machine->first_number + (int)at;
    return 0;
}

void sp_sim_file_close(struct sp_sim_file *file)
{
    sp_list_remove(&file->ready_link);
    file->loop = NULL;
    if (file->number < 0)
        return;
    struct sp_sim_machine *machine = file->machine;
    machine->files[file->number - machine->first_number] = NULL;
    machine->open--;
    file->number = -1;
}

struct sp_sim_file *sp_sim_file_find(struct sp_sim_machine *machine, int number)
{
    int at = number - machine->first_number;
    return at >= 0 && (uint32_t)at < machine->file_cap ? machine->files[at] : NULL;
}

/* --- readiness ------------------------------------------------------------------------------------------ */

uint32_t sp_sim_file_ready(const struct sp_sim_file *file)
{
    if (file->kind == SP_SIM_END)
        return sp_sim_end_ready(SP_CONTAINER(file, struct sp_sim_end, file));
    const struct sp_sim_listener *listener = SP_CONTAINER(file, struct sp_sim_listener, file);
    return listener->watched && listener->queued ? SP_READY_IN : 0;
}

void sp_sim_file_touch(struct sp_sim_file *file)
{
    if (file->loop && !sp_list_is_on(&file->ready_link) && sp_sim_file_ready(file))
        sp_list_push(&file->loop->ready, &file->ready_link);
}
