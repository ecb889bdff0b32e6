/* mail: letters of many threads arrive once each, in the order of their sender, with few wakes. */
#include "io/mail.h"

#include <pthread.h>

#include "unit/io/help.h"

enum { SENDERS = 4, LETTERS = 20000 };

struct letter {
    struct sp_mail mail;
    struct box *box;
    uint32_t sender, number;
};

struct box {
    struct sp_loop *loop;
    uint32_t next[SENDERS], total, want;
    bool out_of_order;
};

static void on_letter(struct sp_mail *mail)
{
    struct letter *letter = SP_CONTAINER(mail, struct letter, mail);
    struct box *box = letter->box;
    if (box->next[letter->sender] != letter->number)
        box->out_of_order = true;
    box->next[letter->sender]++;
    if (++box->total == box->want)
        sp_loop_stop(box->loop);
}

struct sender {
    pthread_t thread;
    struct box *box;
    struct letter *letters;
    uint32_t number;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    for (uint32_t i = 0; i < LETTERS; i++) {
        struct letter *letter = &sender->letters[i];
        *letter = (struct letter){
            .mail.on_mail = on_letter, .box = sender->box, .sender = sender->number, .number = i
        };
        sp_mail_post(sender->box->loop, &letter->mail);
    }
    return NULL;
}

static void letters_of_four_threads_arrive_once_and_in_order(void **state)
{
    struct box box = { .loop = new_loop(), .want = SENDERS * LETTERS };
    struct sender senders[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){ .box = &box,
                                      .number = i,
                                      .letters = malloc(LETTERS * sizeof(struct letter)) };
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    sp_loop_run(box.loop);
    for (uint32_t i = 0; i < SENDERS; i++) {
        pthread_join(senders[i].thread, NULL);
        assert_int_equal(box.next[i], LETTERS);
        free(senders[i].letters);
    }
    assert_false(box.out_of_order);
    assert_int_equal(box.total, SENDERS * LETTERS);
    run_turns(box.loop, 2);
    assert_int_equal(box.total, SENDERS * LETTERS);
    sp_loop_free(box.loop);
}

static uint32_t wakes;
static struct sp_loop_body waking;

static void counting_wake(struct sp_loop *loop)
{
    wakes++;
    counted->wake(loop);
}

static void a_burst_wakes_the_loop_once(void **state)
{
    struct box box = { .loop = new_loop(), .want = 1000 };
    struct letter letters[6];
    counted = box.loop->body;
    waking = *counted;
    waking.wake = counting_wake;
    box.loop->body = &waking;
    wakes = 0;
    for (uint32_t i = 0; i < 6; i++) {
        letters[i] = (struct letter){ .mail.on_mail = on_letter, .box = &box, .number = i };
        sp_mail_post(box.loop, &letters[i].mail);
        if (i == 2)
            sp_loop_turn(box.loop, SP_FOREVER);
    }
    assert_int_equal(box.total, 3);
    sp_loop_turn(box.loop, SP_FOREVER);
    assert_int_equal(box.total, 6);
    assert_false(box.out_of_order);
    assert_int_equal(wakes, 2);
    box.loop->body = counted;
    sp_loop_free(box.loop);
}

static void post_again(struct sp_mail *mail)
{
    struct letter *letter = SP_CONTAINER(mail, struct letter, mail);
    if (++letter->box->total < 5)
        sp_mail_post(letter->box->loop, mail); /* it is ours again, and so can go out again */
}

static void a_letter_may_be_posted_again_from_its_callback(void **state)
{
    struct box box = { .loop = new_loop() };
    struct letter letter = { .mail.on_mail = post_again, .box = &box };
    sp_mail_post(box.loop, &letter.mail);
    sp_loop_turn(box.loop, SP_FOREVER);
    assert_int_equal(box.total, 1);
    for (int i = 0; i < 4; i++)
        sp_loop_turn(box.loop, SP_FOREVER);
    assert_int_equal(box.total, 5);
    sp_loop_free(box.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_four_threads_arrive_once_and_in_order),
        cmocka_unit_test(a_burst_wakes_the_loop_once),
        cmocka_unit_test(a_letter_may_be_posted_again_from_its_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
