/* walk: in good weather: everything goes over, however much it is; and every refusal says why, to both. */
#include "upgrade/walk.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/memfile.h"
#include "io/pidfd.h"
#include "unit/upgrade/kit.h"

/* What the test at hand lets its processes do; set before they are forked. */
static struct {
    uint32_t fds;
    size_t bytes;
    const struct sp_record_book *new_book;
    uint64_t fail_at;
    rlim_t files;
} want;

static void a_walk_moves_the_counter_and_the_socket(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    struct told told = play_run(&play, real_old, real_new, &other);
    assert_int_equal(told.who, 'n');
    assert_int_equal(told.how, 'm');
    assert_int_equal(told.count, START + 1);
    assert_string_equal(told.trouble, "");
    assert_int_equal(other.who, 'o');
    assert_int_equal(other.how, 'm');
    assert_string_equal(other.trouble, "");
}

/* --- cargo: any number of descriptors and bytes --------------------------------------------------------- */

struct cargo {
    uint32_t place, number;
    sp_str filler;
};
static const struct sp_record_field cargo_fields[] = { SP_RECORD_FIELD(1, U32, cargo, place),
                                                       SP_RECORD_FIELD(2, U32, cargo, number),
                                                       SP_RECORD_FIELD(3, BYTES, cargo, filler) };
static const struct sp_record_kind cargo_kind = { 2, false, "cargo", sizeof(struct cargo), cargo_fields, 3 };
static const struct sp_record_kind *const cargo_kinds[] = { &cargo_kind };
static const struct sp_record_book cargo_book = { cargo_kinds, 1 };

enum { PIECE = 64 * 1024 };
static char filler[PIECE];

static sp_err save_cargo(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer)
{
    must(peer->workers == 3 && strcmp(peer->build, "9.8.8") == 0);
    for (uint32_t i = 0; i < want.fds; i++) {
        int fd = eventfd(i + 1, EFD_CLOEXEC | EFD_NONBLOCK);
        must(fd >= 0);
        struct cargo cargo = { .place = sp_record_add_fd(writer, fd), .number = i };
        sp_record_put(writer, &cargo_kind, &cargo);
    }
    for (size_t at = 0; at < want.bytes; at += PIECE) {
        struct cargo cargo = { .number = (uint32_t)(at / PIECE), .filler = sp_str_of(filler, PIECE) };
        sp_record_put(writer, &cargo_kind, &cargo);
    }
    return SP_OK;
}

static void cargo_old(struct play *play)
{
    static const struct sp_walk_old_ops ops = { save_cargo, note_resume };
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    (void)sp_proc_raise_files();
    int sock = accept_one(play);
    must(sp_walk_old_greet(sock, &cargo_book, 2, "9.8.7", NULL, &walk, trouble) == SP_OK);
    must(sp_walk_old_peer(walk)->pid > 0 && sp_walk_old_go_ms(walk) == 120000);
    wait_readable(sp_walk_old_fd(walk));
    if (sp_walk_old_run(walk, &ops, play, trouble) == SP_WALK_RESUMED)
        serve(play, 'o', 'r', trouble);
    leave(play, 'o', 'm', trouble);
}

static void unload(struct sp_record_reader *reader)
{
    struct cargo cargo;
    uint16_t kind;
    uint64_t value;
    uint32_t fds = 0;
    size_t bytes = 0;
    int fd, more;
    while ((more = sp_record_next(reader, &kind)) == 1) {
        must(kind == 2 && sp_record_get(reader, &cargo_kind, &cargo) == SP_OK);
        if (cargo.place == 0) {
            must(cargo.number == bytes / PIECE && cargo.filler.len == PIECE);
            bytes += cargo.filler.len;
            continue;
        }
        must(cargo.number == fds++ && sp_record_take_fd(reader, cargo.place, &fd) == SP_OK);
        must(read(fd, &value, sizeof(value)) == sizeof(value) && value == cargo.number + 1);
        close(fd);
    }
    must(more == 0 && fds == want.fds && bytes == want.bytes);
}

static void cargo_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    struct sp_record_reader *reader;
    (void)sp_proc_raise_files();
    wait_listening(play);
    if (want.files) {
        struct rlimit most = { want.files, want.files };
        must(setrlimit(RLIMIT_NOFILE, &most) == 0);
    }
    must(sp_walk_new_greet(play->path, &cargo_book, 3, "9.8.8", NULL, &walk, trouble) == SP_OK);
    must(sp_walk_new_peer(walk)->workers == 2 && strcmp(sp_walk_new_peer(walk)->build, "9.8.7") == 0);
    if (sp_walk_new_take(walk, &reader, trouble) != SP_WALK_MOVED)
        leave(play, 'n', 'r', trouble);
    unload(reader);
    must(sp_walk_new_finish(walk, trouble) == SP_WALK_MOVED);
    int old = sp_walk_new_take_pidfd(walk);
    sp_walk_new_free(walk);
    must(sp_pidfd_wait(old, PATIENCE_MS) == SP_OK); /* the old one exits by itself */
    close(old);
    must(sp_mem_live_blocks() == 0);
    play->have = -1;
    tell(play, 'n', 'f', true, ""); /* the client's socket was not part of the cargo */
    char byte;
    must(read(play->release[0], &byte, 1) == 0);
    _exit(0);
}

static struct told move_cargo(uint32_t fds, size_t bytes, struct told *ret_other)
{
    struct play play;
    play_init(&play);
    want.fds = fds;
    want.bytes = bytes;
    struct told told = play_run(&play, cargo_old, cargo_new, ret_other);
    memset(&want, 0, sizeof(want));
    return told;
}

static void nothing_at_all_can_be_moved(void **state)
{
    assert_int_equal(move_cargo(0, 0, NULL).who, 'n');
}

static void a_thousand_descriptors_keep_their_order(void **state)
{
    assert_int_equal(move_cargo(1000, 0, NULL).who, 'n');
}

static void batches_that_are_just_full_are_no_trouble(void **state)
{
    assert_int_equal(move_cargo(SP_FDPASS_MAX, PIECE, NULL).who, 'n');
    assert_int_equal(move_cargo(2 * SP_FDPASS_MAX + 1, PIECE, NULL).who, 'n');
}

static void eight_mebibytes_of_records_go_over(void **state)
{
    assert_int_equal(move_cargo(10, 8 << 20, NULL).who, 'n');
}

static void a_new_one_without_room_for_descriptors_turns_back(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    want.fds = 600;
    want.files = 300;
    struct told told = play_run(&play, cargo_old, cargo_new, &other);
    memset(&want, 0, sizeof(want));
    assert_int_equal(told.who, 'o');
    assert_non_null(strstr(told.trouble, "gives up: process"));
    assert_non_null(strstr(other.trouble, "was not understood where `set` belongs"));
}

/* --- refusals ------------------------------------------------------------------------------------------- */

static void book_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    struct sp_record_reader *reader;
    wait_listening(play);
    if (sp_walk_new_greet(play->path, want.new_book, 1, "other", NULL, &walk, trouble))
        leave(play, 'n', 's', trouble);
    must(sp_walk_new_take(walk, &reader, trouble) == SP_WALK_RESUMED);
    leave(play, 'n', 'r', trouble);
}

static struct told other_book(const struct sp_record_book *book, struct told *ret_other)
{
    struct play play;
    play_init(&play);
    want.new_book = book;
    struct told told = play_run(&play, real_old, book_new, ret_other);
    assert_int_equal(told.who, 'o');
    return told;
}

static void what_the_new_one_cannot_read_is_refused_by_name(void **state)
{
    static const struct sp_record_book none = { NULL, 0 };
    struct told other, told = other_book(&none, &other);
    assert_int_equal(told.how, 'r');
    assert_string_equal(told.trouble, "counter (1) is in use, and the other side does not know it");
    assert_non_null(strstr(other.trouble, "gives up: counter (1) is in use"));
}

static void a_number_that_means_something_else_is_refused_at_hello(void **state)
{
    static const struct sp_record_field fields[] = { SP_RECORD_FIELD(1, I32, counter, n) };
    static const struct sp_record_kind kind = { 1, false, "counter", sizeof(struct counter), fields, 1 };
    static const struct sp_record_kind *const kinds[] = { &kind };
    static const struct sp_record_book book = { kinds, 1 };
    struct told other, told = other_book(&book, &other);
    assert_int_equal(told.how, 's');
    assert_non_null(strstr(told.trouble, "schema: counter.n (1.1) is u32 here and i32 there"));
    assert_non_null(strstr(other.trouble, "schema: counter.n (1.1) is u32 here and i32 there"));
}

static void what_the_saver_refuses_is_told_to_both(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    play.step = OLD_WENT;
    play.act = REFUSE;
    struct told told = play_run(&play, real_old, real_new, &other);
    assert_int_equal(told.who, 'o');
    assert_string_equal(told.trouble, "stream 7 cannot move");
    assert_non_null(strstr(other.trouble, "gives up: stream 7 cannot move"));
}

static void what_the_loader_refuses_is_told_to_the_old_one(void **state)
{
    struct play play;
    play_init(&play);
    play.step = NEW_LOADED;
    play.act = REFUSE;
    struct told told = play_run(&play, real_old, real_new, NULL);
    assert_int_equal(told.who, 'o');
    assert_non_null(strstr(told.trouble, "gives up: the route is gone"));
}

static void busy_old(struct play *play)
{
    sp_walk_old_refuse(accept_one(play), "another walk is under way");
    serve(play, 'o', 's', "");
}

static void whoever_comes_second_hears_that(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    assert_int_equal(play_run(&play, busy_old, real_new, &other).who, 'o');
    assert_int_equal(other.how, 's');
    assert_non_null(strstr(other.trouble, "gives up: another walk is under way"));
}

static void leaving_old(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    must(sp_walk_old_greet(accept_one(play), &counter_book, 2, "9.8.7", NULL, &walk, trouble) == SP_OK);
    sp_walk_old_free(walk);
    sp_walk_old_free(NULL);
    serve(play, 'o', 'r', "");
}

static void an_old_one_that_drops_the_walk_says_abort(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    assert_int_equal(play_run(&play, leaving_old, real_new, &other).who, 'o');
    assert_int_equal(other.how, 'r');
    assert_non_null(strstr(other.trouble, "gives up: the old process ended the talk"));
}

static void draining_old(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    must(sp_walk_old_greet(accept_one(play), &counter_book, 2, "9.8.7", NULL, &walk, trouble) == SP_OK);
    sp_walk_old_abort(walk, "it drains");
    must(sp_walk_old_take_pidfd(walk) < 0); /* the new one holds nothing */
    sp_walk_old_free(walk);
    serve(play, 'o', 'r', "");
}

static void an_old_one_that_gives_up_says_why(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    assert_int_equal(play_run(&play, draining_old, real_new, &other).who, 'o');
    assert_int_equal(other.how, 'r');
    assert_non_null(strstr(other.trouble, "gives up: it drains"));
}

static sp_err save_never(void *arg, const struct sp_walk_peer *peer, struct sp_record_writer *writer)
{
    abort();
}

static void hasty_old(struct play *play)
{
    static const struct sp_walk_old_ops ops = { save_never, note_resume };
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_old *walk;
    must(sp_walk_old_greet(accept_one(play), &counter_book, 2, "9.8.7", NULL, &walk, trouble) == SP_OK);
    must(sp_walk_old_run(walk, &ops, play, trouble) == SP_WALK_RESUMED && play->resumed == 0);
    sp_walk_old_free(walk);
    must(write(play->listening[1], "o", 1) == 1);
    serve(play, 'o', 'r', trouble);
}

static void slow_new(struct play *play)
{
    char trouble[SP_WALK_TROUBLE] = "";
    struct sp_walk_new *walk;
    struct sp_record_reader *reader;
    wait_listening(play);
    must(sp_walk_new_greet(play->path, &counter_book, 3, "9.8.8", NULL, &walk, trouble) == SP_OK);
    wait_listening(play); /* the old one has given up by now */
    must(sp_walk_new_take(walk, &reader, trouble) == SP_WALK_RESUMED);
    leave(play, 'n', 'r', trouble);
}

static void one_that_prepares_for_too_long_is_told_so(void **state)
{
    struct play play;
    struct told other;
    play_init(&play);
    struct told told = play_run(&play, hasty_old, slow_new, &other);
    assert_int_equal(told.who, 'o');
    assert_non_null(strstr(told.trouble, "did not say `go` within 120000 ms"));
    assert_non_null(strstr(other.trouble, "did not say `go` within 120000 ms"));
}

/* --- sockets that do not lead to an old process --------------------------------------------------------- */

static sp_err greet_at(const char *path, char *trouble)
{
    struct sp_walk_new *walk = NULL;
    struct sp_walk_times times = { .hello_ms = 300 };
    trouble[0] = 0;
    sp_err err = sp_walk_new_greet(path, &counter_book, 1, "test", &times, &walk, trouble);
    assert_true(err != SP_OK && trouble[0] && !walk);
    return err;
}

static void where_nobody_listens_one_starts_afresh(void **state)
{
    char folder[] = "/tmp/sampan-walk-XXXXXX", path[64], trouble[SP_WALK_TROUBLE];
    int sock;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/sock", folder);
    assert_int_equal(greet_at(path, trouble), SP_E_MISSING);
    assert_non_null(strstr(trouble, "nobody listens at /tmp/sampan-walk-"));
    assert_int_equal(greet_at("@sampan-walk-nobody", trouble), SP_E_MISSING);
    assert_int_equal(sp_fdpass_listen(path, false, &sock), 0);
    close(sock); /* as a killed process leaves it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(greet_at(path, trouble), SP_E_MISSING);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_socket_of_another_kind_is_refused(void **state)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    char folder[] = "/tmp/sampan-walk-XXXXXX", trouble[SP_WALK_TROUBLE];
    assert_non_null(mkdtemp(folder));
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/sock", folder);
    int sock = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(sock, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(listen(sock, 1), 0);
    assert_int_equal(greet_at(name.sun_path, trouble), SP_E_UNSUPPORTED);
    assert_non_null(strstr(trouble, "is not a socket for taking over"));
    close(sock);
    assert_int_equal(unlink(name.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void one_that_never_answers_is_not_waited_for_long(void **state)
{
    char path[64], trouble[SP_WALK_TROUBLE];
    int sock;
    snprintf(path, sizeof(path), "@sampan-walk-mute-%d", (int)getpid());
    assert_int_equal(sp_fdpass_listen(path, false, &sock), 0);
    assert_int_equal(greet_at(path, trouble), SP_E_TIMEOUT);
    assert_non_null(strstr(trouble, "did not say `hello` within 1200 ms"));
    close(sock);
}

/* The listening socket of another process: it is not that one that speaks. */
static void a_socket_that_was_handed_down_is_refused(void **state)
{
    char path[64], trouble[SP_WALK_TROUBLE];
    int listening, sock;
    static struct sp_walk_talk talk;
    snprintf(path, sizeof(path), "@sampan-walk-heir-%d", (int)getpid());
    assert_int_equal(sp_fdpass_listen(path, false, &listening), 0);
    fflush(NULL);
    pid_t heir = fork();
    assert_true(heir >= 0);
    if (heir == 0) {
        wait_readable(listening);
        must(sp_fdpass_accept(listening, &sock) == SP_OK);
        must(sp_walk_talk_init(&talk, sock, NULL, trouble) == SP_OK);
        must(sp_walk_hear(&talk, PATIENCE_MS) == SP_OK);
        must(sp_walk_say_hello(&talk, &counter_book, 1, "heir") == SP_OK);
        must(sp_walk_hear(&talk, PATIENCE_MS) == SP_OK && talk.kind == SP_WALK_NO);
        _exit(0);
    }
    struct sp_walk_new *walk;
    assert_int_equal(sp_walk_new_greet(path, &counter_book, 1, "test", NULL, &walk, trouble),
                     SP_E_UNSUPPORTED);
    assert_non_null(strstr(trouble, "the socket is of process"));
    int status;
    assert_int_equal(waitpid(heir, &status, 0), heir);
    assert_int_equal(status, 0);
    close(listening);
}

/* Only root can be another user for a moment. */
static void another_user_is_refused(void **state)
{
    if (getuid() != 0) {
        print_message("# another user: only root can try\n");
        skip();
    }
    char path[64], trouble[SP_WALK_TROUBLE] = "";
    int listening, sock;
    struct sp_walk_old *walk = NULL;
    snprintf(path, sizeof(path), "@sampan-walk-user-%d", (int)getpid());
    assert_int_equal(sp_fdpass_listen(path, false, &listening), 0);
    fflush(NULL);
    pid_t other = fork();
    assert_true(other >= 0);
    if (other == 0) {
        struct sp_walk_new *none;
        char words[SP_WALK_TROUBLE];
        must(setuid(65534) == 0 && sp_fdpass_connect(path, 1000, &sock) == SP_OK);
        must(read(sock, words, sizeof(words)) > 1 && words[0] == SP_WALK_NO); /* told why */
        must(read(sock, words, sizeof(words)) == 0);
        sp_err err = sp_walk_new_greet(path, &counter_book, 1, "test", NULL, &none, trouble);
        must(err == SP_E_DENIED && strstr(trouble, "could not be ended if it hung: "));
        _exit(0);
    }
    wait_readable(listening);
    assert_int_equal(sp_fdpass_accept(listening, &sock), 0);
    assert_int_equal(sp_walk_old_greet(sock, &counter_book, 1, "test", NULL, &walk, trouble), SP_E_DENIED);
    assert_non_null(strstr(trouble, "is of user 65534, and this one of user 0"));
    int status;
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    close(listening);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static void short_old(struct play *play)
{
    sp_mem_fail_at(want.fail_at);
    real_old(play);
}

static void short_new(struct play *play)
{
    sp_mem_fail_at(want.fail_at);
    real_new(play);
}

static void without_memory_the_old_one_serves(void **state)
{
    enum { MOST = 20 };
    for (int side = 0; side < 2; side++) {
        bool moved = false;
        for (want.fail_at = 1; !moved; want.fail_at++) {
            struct play play;
            assert_true(want.fail_at < MOST);
            play_init(&play);
            struct told told = play_run(&play, side ? real_old : short_old, side ? short_new : real_new,
                                        NULL);
            moved = told.who == 'n'; /* with more memory than a walk needs */
            if (moved)
                assert_true(told.how == 'm' && want.fail_at > 3);
        }
    }
    memset(&want, 0, sizeof(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_moves_the_counter_and_the_socket),
        cmocka_unit_test(nothing_at_all_can_be_moved),
        cmocka_unit_test(a_thousand_descriptors_keep_their_order),
        cmocka_unit_test(batches_that_are_just_full_are_no_trouble),
        cmocka_unit_test(eight_mebibytes_of_records_go_over),
        cmocka_unit_test(a_new_one_without_room_for_descriptors_turns_back),
        cmocka_unit_test(what_the_new_one_cannot_read_is_refused_by_name),
        cmocka_unit_test(a_number_that_means_something_else_is_refused_at_hello),
        cmocka_unit_test(what_the_saver_refuses_is_told_to_both),
        cmocka_unit_test(what_the_loader_refuses_is_told_to_the_old_one),
        cmocka_unit_test(whoever_comes_second_hears_that),
        cmocka_unit_test(an_old_one_that_drops_the_walk_says_abort),
        cmocka_unit_test(an_old_one_that_gives_up_says_why),
        cmocka_unit_test(one_that_prepares_for_too_long_is_told_so),
        cmocka_unit_test(where_nobody_listens_one_starts_afresh),
        cmocka_unit_test(a_socket_of_another_kind_is_refused),
        cmocka_unit_test(one_that_never_answers_is_not_waited_for_long),
        cmocka_unit_test(a_socket_that_was_handed_down_is_refused),
        cmocka_unit_test(another_user_is_refused),
        cmocka_unit_test(without_memory_the_old_one_serves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
