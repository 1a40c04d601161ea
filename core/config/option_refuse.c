#include "core/config/option_refuse.h"

/* Of a refused string: the whole object is quoted at the end anyway. */
#define QUOTED_MAX 256u

static void put_unexpected(struct buf *out, const struct json *v)
{
    switch ((enum json_type)v->type) {
    case JSON_NULL:
        BUF_LIT(out, "null");
        break;
    case JSON_BOOL:
        BUF_LIT(out, "boolean `");
        json_write(out, v);
        buf_char(out, '`');
        break;
    case JSON_INT:
    case JSON_UINT:
        BUF_LIT(out, "integer `");
        json_write(out, v);
        buf_char(out, '`');
        break;
    case JSON_DOUBLE:
        BUF_LIT(out, "floating point `");
        json_write(out, v);
        buf_char(out, '`');
        break;
    case JSON_STRING:
        BUF_LIT(out, "string ");
        json_write_string(out, slice_head(v->string, QUOTED_MAX));
        break;
    case JSON_ARRAY:
        BUF_LIT(out, "sequence");
        break;
    case JSON_OBJECT:
        BUF_LIT(out, "map");
        break;
    }
}

bool option_refuse_type(const struct json *v, const char *expected, struct buf *why)
{
    BUF_LIT(why, "invalid type: ");
    put_unexpected(why, v);
    buf_printf(why, ", expected %s", expected);
    return false;
}

bool option_refuse_value(const struct json *v, const char *expected, struct buf *why)
{
    BUF_LIT(why, "invalid value: ");
    put_unexpected(why, v);
    buf_printf(why, ", expected %s", expected);
    return false;
}

bool option_refuse_because(const struct json *v, struct slice reason, struct buf *why)
{
    BUF_LIT(why, "invalid value: ");
    put_unexpected(why, v);
    BUF_LIT(why, ": ");
    buf_put(why, reason);
    return false;
}

bool option_refuse_word(struct slice word, const struct option_names *names, struct buf *why)
{
    BUF_LIT(why, "invalid value: unknown variant `");
    buf_put(why, slice_head(word, QUOTED_MAX));
    BUF_LIT(why, "`, expected ");
    option_put_choice(why, names->words, names->count);
    return false;
}

void option_put_choice(struct buf *out, const struct slice *words, uint32_t count)
{
    if (count > 2) {
        BUF_LIT(out, "one of ");
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_put(out, count == 2 ? SLICE(" or ") : SLICE(", "));
        }
        buf_char(out, '`');
        buf_put(out, words[i]);
        buf_char(out, '`');
    }
}
