/* string.pack, string.unpack and string.packsize of Lua 5.4. */
#include "policy/vm/vm_private.h"

#define INT_SIZE_MAX 16
#define ALIGN_DEFAULT 8
#define SIZE_LIMIT 0x7fffffffu

enum item { ITEM_INT, ITEM_UINT, ITEM_FLOAT, ITEM_DOUBLE, ITEM_CHARS, ITEM_STRING, ITEM_ZERO,
            ITEM_PADDING, ITEM_ALIGN, ITEM_NOTHING };

struct format {
    lua_State *L;
    struct slice text;
    size_t at;
    bool little;
    size_t align_max;
};

struct field {
    enum item item;
    size_t size;    /* of the number, of the length prefix, or of the fixed string */
    size_t padding; /* before it */
};

static size_t read_count(struct format *f, size_t fallback)
{
    size_t n = 0, from = f->at;

    while (f->at < f->text.len && f->text.ptr[f->at] >= '0' && f->text.ptr[f->at] <= '9' &&
           n <= SIZE_LIMIT / 10 - 1) {
        n = n * 10 + (size_t)(f->text.ptr[f->at++] - '0');
    }
    return f->at == from ? fallback : n;
}

static size_t read_int_size(struct format *f, size_t fallback)
{
    size_t n = read_count(f, fallback);

    if (n < 1 || n > INT_SIZE_MAX) {
        vm_raise(f->L, "integral size (%zu) out of limits [1,%d]", n, INT_SIZE_MAX);
    }
    return n;
}

static struct field sized(enum item item, size_t size)
{
    return (struct field){.item = item, .size = size};
}

/* The next option without its padding. */
static struct field read_option(struct format *f)
{
    char c = f->text.ptr[f->at++];
    size_t n;

    switch (c) {
    case 'b': return sized(ITEM_INT, 1);
    case 'B': return sized(ITEM_UINT, 1);
    case 'h': return sized(ITEM_INT, 2);
    case 'H': return sized(ITEM_UINT, 2);
    case 'i': return sized(ITEM_INT, read_int_size(f, 4));
    case 'I': return sized(ITEM_UINT, read_int_size(f, 4));
    case 'l': case 'j': return sized(ITEM_INT, 8);
    case 'L': case 'J': case 'T': return sized(ITEM_UINT, 8);
    case 'f': return sized(ITEM_FLOAT, 4);
    case 'd': case 'n': return sized(ITEM_DOUBLE, 8);
    case 's': return sized(ITEM_STRING, read_int_size(f, 8));
    case 'z': return sized(ITEM_ZERO, 0);
    case 'x': return sized(ITEM_PADDING, 1);
    case 'X': return sized(ITEM_ALIGN, 0);
    case ' ': return sized(ITEM_NOTHING, 0);
    case '<': case '=': f->little = true; return sized(ITEM_NOTHING, 0);
    case '>': f->little = false; return sized(ITEM_NOTHING, 0);
    case '!': f->align_max = read_int_size(f, ALIGN_DEFAULT); return sized(ITEM_NOTHING, 0);
    case 'c':
        n = read_count(f, SIZE_MAX);
        if (n == SIZE_MAX) {
            vm_raise(f->L, "missing size for format option 'c'");
        }
        return sized(ITEM_CHARS, n);
    default:
        vm_raise(f->L, "invalid format option '%c'", c);
    }
}

static struct field next_field(struct format *f, size_t total)
{
    struct field field = read_option(f);
    size_t align = field.size;

    if (field.item == ITEM_ALIGN) {
        if (f->at >= f->text.len || f->text.ptr[f->at] == 'c') {
            vm_raise(f->L, "invalid next option for option 'X'");
        }
        struct field next = read_option(f);

        align = next.size;
        if (next.item > ITEM_STRING || align == 0) {
            vm_raise(f->L, "invalid next option for option 'X'");
        }
    } else if (field.item > ITEM_DOUBLE && field.item != ITEM_STRING) {
        return field;
    }
    if (align > f->align_max) {
        align = f->align_max;
    }
    if (align > 1 && (align & (align - 1)) != 0) {
        vm_raise(f->L, "format asks for alignment not power of 2");
    }
    field.padding = align > 1 ? (align - (total & (align - 1))) & (align - 1) : 0;
    return field;
}

static struct format format_open(lua_State *L)
{
    return (struct format){.L = L, .text = vm_check_string(L, 1), .little = true, .align_max = 1};
}

static void put_int(const struct format *f, luaL_Buffer *b, uint64_t v, size_t size, bool negative)
{
    char bytes[INT_SIZE_MAX];

    for (size_t i = 0; i < size; i++) {
        uint8_t byte = i < 8 ? (uint8_t)(v >> (8 * i)) : negative ? 0xff : 0;

        bytes[f->little ? i : size - 1 - i] = (char)byte;
    }
    luaL_addlstring(b, bytes, size);
}

static void pack_int(const struct format *f, luaL_Buffer *b, struct field field, int arg)
{
    int64_t v = vm_check_int(f->L, arg);

    if (field.size < 8) {
        int64_t limit = INT64_C(1) << (field.size * 8 - (field.item == ITEM_INT ? 1 : 0));

        if (field.item == ITEM_INT ? (v < -limit || v >= limit) : (uint64_t)v >= (uint64_t)limit) {
            vm_raise(f->L, "bad argument #%d to 'pack' (%s overflow)", arg,
                     field.item == ITEM_INT ? "integer" : "unsigned");
        }
    }
    put_int(f, b, (uint64_t)v, field.size, field.item == ITEM_INT && v < 0);
}

static void pack_float(const struct format *f, luaL_Buffer *b, struct field field, int arg)
{
    double d = vm_check_number(f->L, arg);
    float single = (float)d;
    uint64_t bits = 0;

    if (field.item == ITEM_FLOAT) {
        memcpy(&bits, &single, sizeof(single));
    } else {
        memcpy(&bits, &d, sizeof(d));
    }
    put_int(f, b, bits, field.size, false);
}

static size_t pack_text(const struct format *f, luaL_Buffer *b, struct field field, int arg)
{
    struct slice s = vm_check_string(f->L, arg);
    size_t total = s.len;

    if (field.item == ITEM_CHARS && s.len > field.size) {
        vm_raise(f->L, "bad argument #%d to 'pack' (string longer than given size)", arg);
    }
    if (field.item == ITEM_ZERO && slice_find_char(s, '\0') != s.len) {
        vm_raise(f->L, "bad argument #%d to 'pack' (string contains zeros)", arg);
    }
    if (field.item == ITEM_STRING) {
        if (field.size < 8 && s.len >= (UINT64_C(1) << (field.size * 8))) {
            vm_raise(f->L, "bad argument #%d to 'pack' (string length does not fit in given size)",
                     arg);
        }
        put_int(f, b, s.len, field.size, false);
        total += field.size;
    }
    luaL_addlstring(b, s.ptr, s.len);
    for (size_t i = s.len; field.item == ITEM_CHARS && i < field.size; i++, total++) {
        luaL_addchar(b, '\0');
    }
    if (field.item == ITEM_ZERO) {
        luaL_addchar(b, '\0');
        total++;
    }
    return total;
}

static int string_pack(lua_State *L)
{
    struct format f = format_open(L);
    size_t total = 0;
    luaL_Buffer b;
    int arg = 1;

    luaL_buffinit(L, &b);
    while (f.at < f.text.len) {
        struct field field = next_field(&f, total);

        for (size_t i = 0; i < field.padding; i++) {
            luaL_addchar(&b, '\0');
        }
        total += field.padding;
        switch (field.item) {
        case ITEM_INT:
        case ITEM_UINT:
            pack_int(&f, &b, field, ++arg);
            total += field.size;
            break;
        case ITEM_FLOAT:
        case ITEM_DOUBLE:
            pack_float(&f, &b, field, ++arg);
            total += field.size;
            break;
        case ITEM_CHARS:
        case ITEM_STRING:
        case ITEM_ZERO:
            total += pack_text(&f, &b, field, ++arg);
            break;
        case ITEM_PADDING:
            luaL_addchar(&b, '\0');
            total++;
            break;
        case ITEM_ALIGN:
        case ITEM_NOTHING:
            break;
        }
    }
    luaL_pushresult(&b);
    return 1;
}

static int string_packsize(lua_State *L)
{
    struct format f = format_open(L);
    size_t total = 0;

    while (f.at < f.text.len) {
        struct field field = next_field(&f, total);

        if (field.item == ITEM_STRING || field.item == ITEM_ZERO) {
            vm_raise(L, "variable-length format");
        }
        if (total + field.padding + field.size > SIZE_LIMIT) {
            vm_raise(L, "format result too large");
        }
        total += field.padding + (field.item >= ITEM_ALIGN ? 0 : field.size);
    }
    lua_pushnumber(L, (double)total);
    return 1;
}

static uint64_t get_int(const struct format *f, const char *bytes, size_t size, bool is_signed)
{
    uint64_t v = 0;

    for (size_t i = size < 8 ? size : 8; i-- > 0;) {
        v = v << 8 | (uint8_t)bytes[f->little ? i : size - 1 - i];
    }
    if (is_signed && size < 8) {
        uint64_t sign = UINT64_C(1) << (size * 8 - 1);

        v = (v ^ sign) - sign;
    }
    for (size_t i = 8; i < size; i++) {
        uint8_t extra = (uint8_t)bytes[f->little ? i : size - 1 - i];

        if (extra != (is_signed && (int64_t)v < 0 ? 0xff : 0)) {
            vm_raise(f->L, "%zu-byte integer does not fit into Lua Integer", size);
        }
    }
    return v;
}

static void push_float(const struct format *f, const char *bytes, struct field field)
{
    uint64_t bits = get_int(f, bytes, field.size, false);
    float single;
    double d;

    if (field.item == ITEM_FLOAT) {
        memcpy(&single, &bits, sizeof(single));
        d = single;
    } else {
        memcpy(&d, &bits, sizeof(d));
    }
    lua_pushnumber(f->L, d);
}

static void check_room(lua_State *L, struct slice data, size_t at, size_t need)
{
    if (need > data.len - at) {
        vm_raise(L, "bad argument #2 to 'unpack' (data string too short)");
    }
}

/* Pushes one value; answers how many bytes it took. */
static size_t unpack_field(const struct format *f, struct slice data, size_t at, struct field field)
{
    const char *bytes = data.ptr + at;
    size_t len;

    switch (field.item) {
    case ITEM_INT:
    case ITEM_UINT: /* as Lua 5.4: unsigned 64-bit values wrap */
        vm_integer_push(f->L, (int64_t)get_int(f, bytes, field.size, field.item == ITEM_INT));
        return field.size;
    case ITEM_FLOAT:
    case ITEM_DOUBLE:
        push_float(f, bytes, field);
        return field.size;
    case ITEM_CHARS:
        lua_pushlstring(f->L, bytes, field.size);
        return field.size;
    case ITEM_STRING:
        len = get_int(f, bytes, field.size, false);
        check_room(f->L, data, at + field.size, len);
        lua_pushlstring(f->L, bytes + field.size, len);
        return field.size + len;
    default: /* ITEM_ZERO */
        len = slice_find_char(slice_from(data, at), '\0');
        if (at + len == data.len) {
            vm_raise(f->L, "bad argument #2 to 'unpack' (unfinished string for format 'z')");
        }
        lua_pushlstring(f->L, bytes, len);
        return len + 1;
    }
}

static int string_unpack(lua_State *L)
{
    struct format f = format_open(L);
    struct slice data = vm_check_string(L, 2);
    int64_t start = luaL_optinteger(L, 3, 1);
    size_t at;
    int count = 0;

    start = start < 0 ? (int64_t)data.len + start + 1 : start;
    if (start < 1 || start > (int64_t)data.len + 1) {
        vm_raise(L, "bad argument #3 to 'unpack' (initial position out of string)");
    }
    at = (size_t)start - 1;
    while (f.at < f.text.len) {
        struct field field = next_field(&f, at);

        check_room(L, data, at, field.padding);
        at += field.padding;
        if (field.item == ITEM_NOTHING || field.item == ITEM_ALIGN) {
            continue;
        }
        check_room(L, data, at, field.size);
        if (field.item == ITEM_PADDING) {
            at++;
            continue;
        }
        luaL_checkstack(L, 2, "too many results");
        at += unpack_field(&f, data, at, field);
        count++;
    }
    lua_pushnumber(L, (double)(at + 1));
    return count + 1;
}

void pack_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pack", string_pack},
        {"unpack", string_unpack},
        {"packsize", string_packsize},
        {NULL, NULL},
    };

    luaL_register(L, "string", functions);
    lua_pop(L, 1);
}
