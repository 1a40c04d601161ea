/*
 * list - intrusive lists. dlist: doubly linked ring with a head, O(1) removal from anywhere.
 * slist: singly linked FIFO. Nodes belong to their objects; lists own nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/check.h"

struct dlist {
    struct dlist *next;
    struct dlist *prev;
};

static inline void dlist_init(struct dlist *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool dlist_empty(const struct dlist *head)
{
    return head->next == head;
}

/* A node outside any list is {NULL, NULL}. */
static inline bool dlist_linked(const struct dlist *node)
{
    return node->next != NULL;
}

static inline void dlist_push(struct dlist *head, struct dlist *node) /* at the tail */
{
    MUST_HOT(!dlist_linked(node));
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void dlist_push_front(struct dlist *head, struct dlist *node)
{
    MUST_HOT(!dlist_linked(node));
    node->next = head->next;
    node->prev = head;
    head->next->prev = node;
    head->next = node;
}

static inline void dlist_remove(struct dlist *node)
{
    MUST_HOT(dlist_linked(node));
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = NULL;
    node->prev = NULL;
}

static inline struct dlist *dlist_pop(struct dlist *head) /* NULL when empty */
{
    struct dlist *node = head->next;

    if (node == head) {
        return NULL;
    }
    dlist_remove(node);
    return node;
}

/* Moves everything from `from` to the tail of `to`. */
static inline void dlist_splice(struct dlist *to, struct dlist *from)
{
    if (!dlist_empty(from)) {
        from->next->prev = to->prev;
        to->prev->next = from->next;
        from->prev->next = to;
        to->prev = from->prev;
        dlist_init(from);
    }
}

struct slist {
    struct slist *next;
};

struct slist_queue {
    struct slist *head;
    struct slist *tail;
};

static inline void slist_push(struct slist_queue *q, struct slist *node)
{
    node->next = NULL;
    if (q->tail != NULL) {
        q->tail->next = node;
    } else {
        q->head = node;
    }
    q->tail = node;
}

static inline struct slist *slist_pop(struct slist_queue *q) /* NULL when empty */
{
    struct slist *node = q->head;

    if (node != NULL) {
        q->head = node->next;
        if (q->head == NULL) {
            q->tail = NULL;
        }
        node->next = NULL;
    }
    return node;
}
