/* What the policy is asked about a batch's replies, and which code counts in the end: lane_judge.c
 * alone, between a real client with scripted replies and a policy that answers as a row says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/diag.h"
#include "core/egress/lane.h"
#include "policy/vm/vm.h"

/* ---- the policy ---- */

struct vm {
    bool has_handler, suspends;
    struct vm_result answer;
    vm_done_fn *done; /* of the call that is suspended */
    void *done_ctx;
    uint32_t begun_count, ended_count;
    struct buf asked; /* the arguments of every call, "," between, ";" behind */
};

struct vm_call {
    struct vm *vm;
};

struct schedq {
    struct queue_name parts;
};

static struct schedq queue;
static struct vm_call call;

bool vm_has(const struct vm *vm, enum vm_hook hook)
{
    return vm->has_handler && hook == VM_HOOK_smtp_client_rewrite_delivery_status;
}

struct vm_call *vm_call_begin(struct vm *vm, enum vm_hook hook)
{
    assert_true(vm_has(vm, hook));
    assert_int_equal(vm->begun_count, vm->ended_count);
    vm->begun_count++;
    call.vm = vm;
    return &call;
}

void vm_push_string(struct vm_call *c, struct slice s)
{
    buf_put(&c->vm->asked, s);
    buf_char(&c->vm->asked, ',');
}

void vm_push_optional(struct vm_call *c, struct slice s, bool present)
{
    vm_push_string(c, present ? s : SLICE("nil"));
}

const struct vm_result *vm_call_run(struct vm_call *c, vm_done_fn *done, void *ctx)
{
    c->vm->asked.ptr[c->vm->asked.len - 1] = ';';
    c->vm->done = done;
    c->vm->done_ctx = ctx;
    return c->vm->suspends ? NULL : &c->vm->answer;
}

void vm_call_end(struct vm_call **cp)
{
    if (*cp != NULL) {
        (*cp)->vm->ended_count++;
        *cp = NULL;
    }
}

/* ---- the rest of the lane ---- */

static uint32_t judged_count;

void lane_judged(struct lane *l)
{
    assert_null(l->verdict);
    judged_count++;
}

void lane_enter(struct lane *l, enum lane_state next)
{
    l->state = (uint8_t)next;
}

struct schedq *message_queue(const struct message *m)
{
    return &queue;
}

const struct queue_name *schedq_parts(const struct schedq *q)
{
    return &q->parts;
}

/* ---- the bench ---- */

#define RECIPIENTS 3u
#define SCRIPT_MAX 7u
#define HUNG_UP NULL /* instead of a reply */

struct bench {
    struct vm vm;
    struct diag diag;
    struct queue_mgr mgr;
    struct egress eg;
    struct readyq rq;
    struct message m;
    struct smtp_client_params params;
    struct lane lane;
};

static uint64_t no_time(void *ctx)
{
    return 0;
}

static void no_line(void *ctx, struct slice line)
{
}

static const struct slice recipients[RECIPIENTS] = {SLICE_INIT("a@d.test"), SLICE_INIT("b@d.test"),
                                                    SLICE_INIT("c@d.test")};

static void bench_open(struct bench *b, struct slice queue_name)
{
    *b = (struct bench){.params = {.ehlo_name = SLICE("me.test")}};
    queue_name_parse(queue_name, &queue.parts);
    diag_init(&b->diag, NULL, no_time, no_line);
    b->vm.has_handler = true;
    b->vm.answer.status = VM_NONE;
    b->mgr.vm = &b->vm;
    b->mgr.diag = &b->diag;
    b->eg.queue = &b->mgr;
    b->rq.eg = &b->eg;
    b->lane.rq = &b->rq;
    b->lane.now.m = &b->m;
    b->lane.now.batch_count = RECIPIENTS;
    smtp_client_init(&b->lane.client, &b->params);
    judged_count = 0;
}

static void bench_close(struct bench *b)
{
    assert_int_equal(b->vm.begun_count, b->vm.ended_count);
    smtp_client_free(&b->lane.client);
    buf_free(&b->lane.verdicts);
    buf_free(&b->lane.texts);
    buf_free(&b->vm.asked);
    diag_free(&b->diag);
}

/* Feeds one reply; what it makes the client write is written. */
static enum smtp_client_step hear(struct smtp_client *c, const char *reply)
{
    struct slice in = slice_str(reply);
    enum smtp_client_step step, last = SMTP_CLIENT_WAIT;
    size_t used;

    do {
        step = smtp_client_feed(c, in, &used);
        in = slice_from(in, used);
        last = step != SMTP_CLIENT_WAIT ? step : last;
        if (step == SMTP_CLIENT_SEND || step == SMTP_CLIENT_SEND_BODY) {
            assert_int_equal(smtp_client_sent(c), SMTP_CLIENT_WAIT);
        }
    } while (step != SMTP_CLIENT_WAIT && step < SMTP_CLIENT_UNSOLICITED);
    return last;
}

/* One transaction, a reply for each command in turn, until its end. */
static void talk(struct bench *b, const char *const *script)
{
    struct smtp_client *c = &b->lane.client;
    const struct smtp_transaction tx = {
        .sender = SLICE("s@src.test"), .recipients = recipients, .recipient_count = RECIPIENTS};
    enum smtp_client_step step = SMTP_CLIENT_WAIT;

    (void)hear(c, "220 peer.test\r\n");
    assert_int_equal(hear(c, "250 peer.test\r\n"), SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_begin(c, &tx), SMTP_CLIENT_SEND);
    assert_int_equal(smtp_client_sent(c), SMTP_CLIENT_WAIT);
    for (; step != SMTP_CLIENT_DONE && step < SMTP_CLIENT_UNSOLICITED; script++) {
        step = *script == HUNG_UP ? smtp_client_lost(c, SLICE("")) : hear(c, *script);
    }
    b->lane.broken = step >= SMTP_CLIENT_UNSOLICITED;
}

/* The codes that count, of all recipients, " " between; "-" where there is none. */
static void codes_put(const struct lane *l, struct buf *out)
{
    for (uint32_t i = 0; i < RECIPIENTS; i++) {
        struct smtp_outcome o;

        if (i != 0) {
            buf_char(out, ' ');
        }
        if (smtp_client_outcome(&l->client, i, &o)) {
            buf_u64(out, lane_verdict_code(l, &o));
        } else {
            buf_char(out, '-');
        }
    }
    buf_char(out, '\0');
}

/* ---- what is asked ---- */

#define OK "250 ok\r\n"
#define GO "354 go\r\n"
#define BAD "503 5.5.1 what?\r\n" /* to what follows a refusal that refused everybody */

struct reply_row {
    const char *name;
    const char *script[SCRIPT_MAX];
    const char *asked; /* the replies, ";" behind each */
    const char *codes; /* when every answer is 499 */
};

static const struct reply_row reply_rows[] = {
    {"all delivered", {OK, OK, OK, OK, GO, OK}, "", "250 250 250"},
    {"MAIL 4xx", {"451 4.3.0 later\r\n", BAD, BAD, BAD, BAD}, "451 4.3.0 later;",
     "499 499 499"},
    {"MAIL 5xx", {"550 5.7.1 no\r\n", BAD, BAD, BAD, BAD}, "550 5.7.1 no;", "499 499 499"},
    {"MAIL 421", {"421 4.3.2 down\r\n"}, "421 4.3.2 down;", "499 499 499"},
    {"nothing to MAIL", {HUNG_UP}, "", "400 400 400"},
    {"one RCPT 4xx", {OK, "450 4.2.1 full\r\n", OK, OK, GO, OK}, "450 4.2.1 full;",
     "499 250 250"},
    {"two RCPT 5xx, each a reply", {OK, "550 5.1.1 a\r\n", OK, "550 5.1.1 a\r\n", GO, OK},
     "550 5.1.1 a;550 5.1.1 a;", "499 250 499"},
    {"every RCPT refused", {OK, "550 x\r\n", "551 y\r\n", "452 z\r\n", BAD}, "550 x;551 y;452 z;",
     "499 499 499"},
    {"a RCPT refused, then nothing", {OK, "550 x\r\n", OK, HUNG_UP}, "550 x;", "499 400 400"},
    {"RCPT 421", {OK, OK, "421 bye\r\n"}, "421 bye;", "499 499 499"},
    {"DATA 4xx", {OK, OK, OK, OK, "451 later\r\n"}, "451 later;", "499 499 499"},
    {"DATA 5xx", {OK, OK, OK, OK, "554 no\r\n"}, "554 no;", "499 499 499"},
    {"DATA 421", {OK, OK, OK, OK, "421 bye\r\n"}, "421 bye;", "499 499 499"},
    {"nothing to DATA", {OK, OK, OK, OK, HUNG_UP}, "", "400 400 400"},
    {"the dot 4xx", {OK, OK, OK, OK, GO, "451 later\r\n"}, "451 later;", "499 499 499"},
    {"the dot 5xx, one RCPT 5xx", {OK, "550 x\r\n", OK, OK, GO, "554 5.6.0 no\r\n"},
     "550 x;554 5.6.0 no;", "499 499 499"},
    {"the dot 421", {OK, OK, OK, OK, GO, "421 bye\r\n"}, "421 bye;", "499 499 499"},
    {"nothing to the dot", {OK, OK, OK, OK, GO, HUNG_UP}, "", "400 400 400"},
    {"many lines become one", {"550-5.7.1 no\r\n550-5.7.1 and\r\n550 5.7.1 no\r\n", BAD, BAD,
     BAD, BAD},
     "550 5.7.1 no and no;", "499 499 499"},
};

static const char *const refused_mail[] = {"451 4.3.0 later\r\n", BAD, BAD, BAD, BAD};
static const char *const refused_recipients[] = {OK, "550 x\r\n", "551 y\r\n", "452 z\r\n", BAD};

static const struct json answer_499 = {.type = JSON_INT, .integer = 499};

static void each_refusal_is_asked_about_once_and_nothing_else_is(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(reply_rows); i++) {
        const struct reply_row *r = &reply_rows[i];
        struct buf asked = {0}, codes = {0};
        struct bench b;
        struct slice left;

        bench_open(&b, SLICE("d.test"));
        b.vm.answer = (struct vm_result){
            .status = VM_RETURNED, .value_count = 1, .values = {&answer_499}};
        talk(&b, r->script);
        lane_judge(&b.lane);
        left = buf_slice(&b.vm.asked);
        while (left.len > 0) {
            struct slice one = slice_head(left, slice_find_char(left, ';'));

            buf_printf(&asked, "%.*s;", SLICE_ARG(slice_head(one, slice_find_char(one, ','))));
            left = slice_from(left, one.len + 1);
        }
        buf_char(&asked, '\0');
        codes_put(&b.lane, &codes);
        if (strcmp(asked.ptr, r->asked) != 0 || strcmp(codes.ptr, r->codes) != 0 ||
            judged_count != 1) {
            print_error("%s: asked '%s', codes %s, judged %u times\n", r->name, asked.ptr,
                        codes.ptr, judged_count);
            wrong_count++;
        }
        buf_free(&asked);
        buf_free(&codes);
        bench_close(&b);
    }
    assert_int_equal(wrong_count, 0);
}

/* ---- what is answered ---- */

struct answer_row {
    const char *name;
    enum vm_status status;
    struct json value;
    const char *codes;
    uint64_t complaint_count;
};

static const struct answer_row answer_rows[] = {
    {"no handler answers", VM_NONE, {.type = JSON_NULL}, "451 451 451", 0},
    {"nil", VM_RETURNED, {.type = JSON_NULL}, "451 451 451", 0},
    {"a number", VM_RETURNED, {.type = JSON_INT, .integer = 550}, "550 550 550", 0},
    {"a success", VM_RETURNED, {.type = JSON_INT, .integer = 250}, "250 250 250", 0},
    {"the smallest", VM_RETURNED, {.type = JSON_INT, .integer = 0}, "0 0 0", 0},
    {"the largest", VM_RETURNED, {.type = JSON_INT, .integer = 65535}, "65535 65535 65535", 0},
    {"one too large", VM_RETURNED, {.type = JSON_INT, .integer = 65536}, "451 451 451", 0},
    {"below nothing", VM_RETURNED, {.type = JSON_INT, .integer = -1}, "451 451 451", 0},
    {"a float", VM_RETURNED, {.type = JSON_DOUBLE, .number = 552.0}, "552 552 552", 0},
    {"a float too large", VM_RETURNED, {.type = JSON_DOUBLE, .number = 1e9}, "451 451 451", 0},
    {"an error", VM_ERROR, {.type = JSON_NULL}, "451 451 451", 1},
    {"a reject", VM_REJECTED, {.type = JSON_NULL}, "451 451 451", 1},
};

static void an_answer_counts_when_it_is_a_code(void **state)
{
    unsigned wrong_count = 0;

    for (size_t i = 0; i < ARRAY_COUNT(answer_rows); i++) {
        const struct answer_row *r = &answer_rows[i];
        struct buf codes = {0};
        struct bench b;

        bench_open(&b, SLICE("d.test"));
        b.vm.answer = (struct vm_result){.status = r->status, .text = SLICE("why")};
        if (r->status == VM_RETURNED) {
            b.vm.answer.value_count = 1;
            b.vm.answer.values[0] = &r->value;
        }
        talk(&b, refused_mail);
        lane_judge(&b.lane);
        codes_put(&b.lane, &codes);
        if (strcmp(codes.ptr, r->codes) != 0 || b.diag.count[DIAG_ERROR] != r->complaint_count) {
            print_error("%s: codes %s, %u complaints\n", r->name, codes.ptr,
                        (unsigned)b.diag.count[DIAG_ERROR]);
            wrong_count++;
        }
        buf_free(&codes);
        bench_close(&b);
    }
    assert_int_equal(wrong_count, 0);
}

static void the_handler_gets_the_parts_of_the_queue_name(void **state)
{
    static const struct {
        const char *queue, *asked;
    } rows[] = {
        {"d.test", "451 4.3.0 later,d.test,nil,nil,d.test;"},
        {"t@d.test", "451 4.3.0 later,d.test,t,nil,d.test;"},
        {"c:t@d.test", "451 4.3.0 later,d.test,t,c,d.test;"},
        {"c:t@d.test!mx.test", "451 4.3.0 later,d.test,t,c,mx.test;"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct bench b;

        bench_open(&b, slice_str(rows[i].queue));
        talk(&b, refused_mail);
        lane_judge(&b.lane);
        buf_char(&b.vm.asked, '\0');
        assert_string_equal(b.vm.asked.ptr, rows[i].asked);
        bench_close(&b);
    }
}

/* ---- when ---- */

static void without_a_handler_the_batch_is_judged_at_once(void **state)
{
    for (int has_vm = 0; has_vm <= 1; has_vm++) {
        struct buf codes = {0};
        struct bench b;

        bench_open(&b, SLICE("d.test"));
        b.vm.has_handler = false;
        b.mgr.vm = has_vm ? &b.vm : NULL;
        b.lane.state = LANE_STATE_COUNT;
        talk(&b, refused_mail);
        lane_judge(&b.lane);
        codes_put(&b.lane, &codes);
        assert_string_equal(codes.ptr, "451 451 451");
        assert_int_equal(judged_count, 1);
        assert_int_equal(b.lane.state, LANE_STATE_COUNT);
        buf_free(&codes);
        bench_close(&b);
    }
}

static void an_answer_that_comes_later_is_waited_for(void **state)
{
    struct buf codes = {0};
    struct bench b;

    bench_open(&b, SLICE("d.test"));
    b.vm.suspends = true;
    b.vm.answer = (struct vm_result){
        .status = VM_RETURNED, .value_count = 1, .values = {&answer_499}};
    talk(&b, refused_recipients);
    lane_judge(&b.lane);
    assert_int_equal(b.lane.state, LANE_JUDGING);
    for (uint32_t i = 1; i <= RECIPIENTS; i++) {
        assert_int_equal(judged_count, 0);
        assert_int_equal(b.vm.begun_count, i);
        b.vm.done(b.vm.done_ctx, &b.vm.answer);
    }
    assert_int_equal(judged_count, 1);
    codes_put(&b.lane, &codes);
    assert_string_equal(codes.ptr, "499 499 499");
    buf_free(&codes);
    bench_close(&b);
}

static void when_time_is_up_what_was_answered_counts_and_the_rest_is_as_the_peer_said(void **state)
{
    struct buf codes = {0};
    struct bench b;

    bench_open(&b, SLICE("d.test"));
    b.vm.suspends = true;
    b.vm.answer = (struct vm_result){
        .status = VM_RETURNED, .value_count = 1, .values = {&answer_499}};
    talk(&b, refused_recipients);
    lane_judge(&b.lane);
    b.vm.done(b.vm.done_ctx, &b.vm.answer);
    lane_judge_cut(&b.lane);
    assert_int_equal(judged_count, 1);
    codes_put(&b.lane, &codes);
    assert_string_equal(codes.ptr, "499 551 452");
    buf_free(&codes);
    bench_close(&b);
}

static void verdicts_of_one_batch_are_gone_in_the_next(void **state)
{
    struct buf codes = {0};
    struct bench b;

    bench_open(&b, SLICE("d.test"));
    b.vm.answer = (struct vm_result){
        .status = VM_RETURNED, .value_count = 1, .values = {&answer_499}};
    talk(&b, refused_mail);
    lane_judge(&b.lane);
    b.vm.has_handler = false;
    lane_judge(&b.lane);
    codes_put(&b.lane, &codes);
    assert_string_equal(codes.ptr, "451 451 451");
    buf_free(&codes);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_is_asked_about_once_and_nothing_else_is),
        cmocka_unit_test(an_answer_counts_when_it_is_a_code),
        cmocka_unit_test(the_handler_gets_the_parts_of_the_queue_name),
        cmocka_unit_test(without_a_handler_the_batch_is_judged_at_once),
        cmocka_unit_test(an_answer_that_comes_later_is_waited_for),
        cmocka_unit_test(
            when_time_is_up_what_was_answered_counts_and_the_rest_is_as_the_peer_said),
        cmocka_unit_test(verdicts_of_one_batch_are_gone_in_the_next),
    };

    return cmocka_run_group_tests_name("core/egress/lane_judge", tests, NULL, NULL);
}
