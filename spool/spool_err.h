/*
 * spool_err - what can go wrong in the spool; the rows, with texts, are in spool_err.def.
 */
#pragma once

enum spool_err {
    SPOOL_OK = 0,
#define SPOOL_ERR(name, text, action) SPOOL_E_##name,
#include "spool/spool_err.def"
#undef SPOOL_ERR
    SPOOL_ERR_COUNT
};

const char *spool_err_text(enum spool_err err);
