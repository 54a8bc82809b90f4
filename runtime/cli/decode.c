#include "decode.h"

#include <stdlib.h>
#include <string.h>

#include "message.h"

static vkdlm_status append(char **out, size_t *size, const char *bytes, size_t n, vkdlm_error *err)
{
    char *larger = realloc(*out, *size + n + 1);
    if (!larger)
        return message_set(err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the text of a sample");
    if (n)
        memcpy(larger + *size, bytes, n);
    *size += n;
    larger[*size] = 0;
    *out = larger;
    return VKDLM_OK;
}

vkdlm_status decode_canvas(const vkdlm_tokenizer *tokenizer, const int32_t *ids, size_t n, int32_t mask_id,
                           char **out, size_t *size, vkdlm_error *err)
{
    *out = NULL;
    *size = 0;
    vkdlm_status status = append(out, size, "", 0, err);
    for (size_t i = 0; i < n && !status;) {
        size_t end = i;
        vkdlm_text text = {0};
        while (end < n && ids[end] != mask_id)
            end++;
        if (end > i) {
            status = vkdlm_detokenize(tokenizer, ids + i, end - i, false, &text, err);
            if (!status)
                status = append(out, size, text.bytes, text.size, err);
            vkdlm_text_free(&text);
            i = end;
        } else {
            status = append(out, size, DECODE_MASK, strlen(DECODE_MASK), err);
            i++;
        }
    }
    if (status) {
        free(*out);
        *out = NULL;
    }
    return status;
}
