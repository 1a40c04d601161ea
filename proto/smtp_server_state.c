#include "core/base/check.h"
#include "proto/smtp_server_private.h"

static bool edge_exists(enum smtp_server_state from, enum smtp_server_state to)
{
    static const bool edge[SMTP_STATE_COUNT][SMTP_STATE_COUNT] = {
#define SMTP_EDGE(from, to, when) [SMTP_STATE_##from][SMTP_STATE_##to] = true,
#include "proto/smtp_server_edges.def"
#undef SMTP_EDGE
    };

    return edge[from][to] || to == SMTP_STATE_CLOSING;
}

/* The only place that writes s->state. */
void smtp_server_enter(struct smtp_server *s, enum smtp_server_state next)
{
    MUST(next < SMTP_STATE_COUNT);
    MUST(edge_exists(s->state, next));
    /* An open question would be answered into the wrong state. */
    MUST(s->hold != SMTP_HOLD_ASK || next == SMTP_STATE_CLOSING);
    s->state = (uint8_t)next;
}

const char *smtp_server_state_name(enum smtp_server_state state)
{
    static const char *const names[SMTP_STATE_COUNT] = {
#define SMTP_STATE(name, waits_for) [SMTP_STATE_##name] = #name,
#include "proto/smtp_server_states.def"
#undef SMTP_STATE
    };

    MUST(state < SMTP_STATE_COUNT);
    return names[state];
}
