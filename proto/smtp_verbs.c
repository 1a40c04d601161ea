/* What a command line says: its word, whether it has the arguments it may have, who serves it. */
#include "core/base/check.h"
#include "core/base/utf8.h"
#include "proto/smtp_chars.h"
#include "proto/smtp_server_private.h"

enum verb_flag {
    VERB_NO_ARGS = 1u << 0,  /* any argument is a syntax error */
    VERB_ARGS = 1u << 1,     /* none is */
    VERB_OWN_ARGS = 1u << 2, /* the handler judges even blanks: octets follow the line */
    VERB_SECRET = 1u << 3,   /* what follows the first argument never leaves the session */
};

#define VERB_SIZE_MAX 8u

static const struct verb {
    char name[VERB_SIZE_MAX]; /* zero-padded */
    smtp_cmd_fn *run;
    unsigned flags;
} verbs[SMTP_VERB_COUNT] = {
#define SMTP_VERB(word, handler, bits)                                                             \
    [SMTP_VERB_##word] = {.name = #word, .run = smtp_cmd_##handler, .flags = (bits)},
#include "proto/smtp_server_verbs.def"
#undef SMTP_VERB
};

static const struct verb *verb_find(struct slice word)
{
    char name[VERB_SIZE_MAX] = {0};

    if (word.len > VERB_SIZE_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];

        name[i] = c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
    }
    for (size_t i = 0; i < SMTP_VERB_COUNT; i++) {
        if (memcmp(verbs[i].name, name, VERB_SIZE_MAX) == 0) {
            return &verbs[i];
        }
    }
    return NULL;
}

enum smtp_reply_id smtp_verbs_order(const struct smtp_server *s, enum smtp_verb_id verb)
{
    static const uint8_t order[SMTP_VERB_COUNT][SMTP_STATE_COUNT] = {
#define SMTP_ORDER(verb, state, reply) [SMTP_VERB_##verb][SMTP_STATE_##state] = SMTP_REPLY_##reply,
#include "proto/smtp_server_order.def"
#undef SMTP_ORDER
    };

    MUST(verb < SMTP_VERB_COUNT);
    return order[verb][s->state];
}

/* "AUTH PLAIN" of "AUTH PLAIN AGEAYg==". A first argument that is no name may be the secret. */
static struct slice without_secret(struct slice line, size_t word_len)
{
    size_t at = word_len + chars_span(slice_from(line, word_len), CHAR_BLANK);
    size_t len = chars_span(slice_from(line, at), CHAR_LABEL);
    bool name = at + len == line.len || char_is(line.ptr[at + len], CHAR_BLANK);

    return slice_head(line, len != 0 && name ? at + len : word_len);
}

enum smtp_server_step smtp_verbs_serve(struct smtp_server *s, struct slice line)
{
    size_t word_len = chars_span(line, CHAR_ALNUM);
    size_t blanks;
    struct slice args;
    const struct verb *verb;

    s->command = line;
    if (!utf8_valid(line)) {
        return smtp_reply_about(s, SMTP_REPLY_NOT_UTF8, SMTP_ABOUT_NOTHING, SMTP_AFTER_STAY);
    }
    blanks = chars_span(slice_from(line, word_len), CHAR_BLANK);
    args = slice_from(line, word_len + blanks);
    if (word_len == 0 || (blanks == 0 && args.len != 0)) {
        return smtp_reply(s, SMTP_REPLY_NOT_A_COMMAND);
    }
    verb = verb_find(slice_head(line, word_len));
    if (verb == NULL) {
        return smtp_reply(s, SMTP_REPLY_UNIMPLEMENTED);
    }
    if (verb->flags & VERB_SECRET) {
        s->command = without_secret(line, word_len);
    }
    if (verb->flags & VERB_OWN_ARGS) {
        return verb->run(s, args);
    }
    if ((blanks != 0 && args.len == 0) || ((verb->flags & VERB_NO_ARGS) && args.len != 0) ||
        ((verb->flags & VERB_ARGS) && args.len == 0)) {
        return smtp_reply(s, SMTP_REPLY_SYNTAX);
    }
    return verb->run(s, args);
}
