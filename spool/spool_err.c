#include "spool/spool_err.h"

#include "core/base/check.h"

const char *spool_err_text(enum spool_err err)
{
    static const char *const texts[SPOOL_ERR_COUNT] = {
        [SPOOL_OK] = "done",
#define SPOOL_ERR(name, text, action) [SPOOL_E_##name] = text,
#include "spool/spool_err.def"
#undef SPOOL_ERR
    };

    MUST((unsigned)err < SPOOL_ERR_COUNT);
    return texts[err];
}
