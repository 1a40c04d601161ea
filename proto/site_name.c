#include "proto/site_name.h"

#include "core/base/hmap.h"
#include "core/base/mem.h"

/* A host as it is taken apart from its end: what is left of the name, and its port, which clings
 * to the last label. */
struct host {
    struct slice left;
    struct slice port; /* with the colon; empty without */
};

struct label {
    struct hmap_node node;
    struct slice text;
};

/* What the hosts have at one position, counted from the right. Labels of all positions stand in
 * one array, so that the name can be put together from left to right. */
struct position {
    size_t first, count; /* in labels */
    bool is_optional;
};

static struct slice label_key(const struct hmap_node *node)
{
    return CONTAINER_OF((struct hmap_node *)(uintptr_t)node, struct label, node)->text;
}

static struct host host_cut(struct slice name)
{
    size_t colon = slice_find_char(name, ':');
    struct host host = {slice_head(name, colon), slice_from(name, colon)};

    if (slice_ends(host.left, SLICE("."))) {
        host.left.len--;
    }
    return host;
}

/* Cuts the right-most label off, lower-cased, with the port when it is the host's last. Its text is
 * appended to `texts`, which has room for all of them and does not move. */
static struct slice label_cut(struct host *host, struct buf *texts)
{
    size_t start = host->left.len, at = texts->len;

    while (start != 0 && host->left.ptr[start - 1] != '.') {
        start--;
    }
    for (size_t i = start; i < host->left.len; i++) {
        buf_char(texts, char_lower(host->left.ptr[i]));
    }
    buf_put(texts, host->port);
    host->port.len = 0;
    host->left.len = start != 0 ? start - 1 : 0;
    return slice_of(texts->ptr + at, texts->len - at);
}

static struct position position_read(struct host *hosts, size_t host_count, struct label *labels,
                                     size_t first, struct buf *texts)
{
    struct position position = {.first = first};
    struct hmap seen;

    hmap_init(&seen, label_key, 0);
    for (size_t i = 0; i < host_count; i++) {
        struct label *label = &labels[first + position.count];

        if (hosts[i].left.len == 0) {
            position.is_optional = true;
            continue;
        }
        label->text = label_cut(&hosts[i], texts);
        if (hmap_find(&seen, label->text) == NULL) {
            hmap_insert(&seen, &label->node);
            position.count++;
        }
    }
    hmap_free(&seen);
    return position;
}

static void position_put(struct buf *out, const struct label *labels,
                         const struct position *position)
{
    if (position->count > 1) {
        buf_char(out, '(');
    }
    for (size_t i = 0; i < position->count; i++) {
        if (i != 0) {
            buf_char(out, '|');
        }
        buf_put(out, labels[position->first + i].text);
    }
    if (position->count > 1) {
        buf_char(out, ')');
    }
    if (position->is_optional) {
        buf_char(out, '?');
    }
}

void site_name_put(struct buf *out, const struct slice *names, size_t host_count)
{
    struct host *hosts = mem_take_zero((host_count + 1) * sizeof(*hosts));
    struct buf texts = {0};
    size_t size = 0, depth_max = 0, label_max = 1, position_count = 0, label_count = 0;
    struct position *positions;
    struct label *labels;

    for (size_t i = 0; i < host_count; i++) {
        size_t depth = 1;

        hosts[i] = host_cut(names[i]);
        for (size_t k = 0; k < hosts[i].left.len; k++) {
            depth += hosts[i].left.ptr[k] == '.';
        }
        depth_max = depth > depth_max ? depth : depth_max;
        label_max += depth;
        size += names[i].len;
    }
    buf_reserve(&texts, size + 1);
    positions = mem_take_zero((depth_max + 1) * sizeof(*positions));
    labels = mem_take_zero(label_max * sizeof(*labels));
    for (; position_count < depth_max; position_count++) {
        struct position *position = &positions[position_count];

        *position = position_read(hosts, host_count, labels, label_count, &texts);
        label_count += position->count;
        if (position->count == 0) {
            break;
        }
    }
    for (size_t i = position_count; i-- > 0;) {
        position_put(out, labels, &positions[i]);
        if (i != 0) {
            buf_char(out, '.');
        }
    }
    mem_give(labels);
    mem_give(positions);
    mem_give(hosts);
    buf_free(&texts);
}

void site_name_mx_list_put(struct buf *out, const struct slice *entries, size_t entry_count)
{
    BUF_LIT(out, "mx_list:");
    for (size_t i = 0; i < entry_count; i++) {
        if (i != 0) {
            buf_char(out, ',');
        }
        buf_put(out, entries[i]);
    }
}
