#include "proto/domain_idna.h"

#include <idn2.h>

#include "core/base/mem.h"

bool domain_idna_put(struct slice domain, struct buf *out)
{
    uint8_t *unicode = mem_copy(domain.ptr, domain.len);
    uint8_t *ascii = NULL;
    int rc = idn2_lookup_u8(unicode, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);

    mem_give(unicode);
    if (rc != IDN2_OK) {
        return false;
    }
    buf_put(out, slice_str((const char *)ascii));
    idn2_free(ascii);
    return true;
}
