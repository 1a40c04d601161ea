/*
 * sim_disk_private - the disk, as its files share it.
 */
#pragma once

#include "tests/sim/sim_disk.h"

#define DISK_PATH_MAX 192u
#define DISK_WEATHER_NS (15 * SIM_S)

struct disk_page {
    char *seen, *kept; /* NULL: zeros; equal: durable */
};

struct disk_inode {
    struct disk_inode *next;
    struct disk_page *pages;
    uint64_t page_count;
    uint64_t size, kept_size;
    uint32_t id, mode;
    uint32_t locked_life; /* 0: nobody */
    uint32_t opened;
    bool is_dir;
};

struct disk_name {
    char path[DISK_PATH_MAX];
    struct disk_inode *now, *kept;
};

struct disk_file {
    struct disk_inode *inode;
    int flags;
    char path[DISK_PATH_MAX];
};

struct sim_disk {
    struct disk_inode *inodes;
    struct disk_name *names;
    uint32_t name_count, name_cap;
    uint32_t inode_count;
    uint64_t filled; /* bytes that somebody else occupies now */
    bool dead, slow;
    uint64_t trouble_ns; /* until then a write has failed or waited long; 0: none has */
    struct sim_disk_counts counts;
};

/* sim_disk_weather.c */
void disk_trouble(struct sim_disk *d, uint64_t until_ns);
/* sim_disk_pages.c */
void inode_read(const struct disk_inode *node, char *to, uint64_t len, uint64_t offset);
void inode_write(struct sim *s, struct disk_inode *node, const char *from, uint64_t len,
                 uint64_t offset, bool durable);
void inode_sync(struct sim *s, struct disk_inode *node);
void inode_power_cut(struct sim *s, struct disk_inode *node, enum disk_keep keep);
void inode_truncate(struct sim *s, struct disk_inode *node);
void inode_free(struct sim *s, struct disk_inode *node);
