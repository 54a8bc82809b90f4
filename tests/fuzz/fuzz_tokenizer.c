/* The bytes as a tokenizer.json, and as the merges.txt of a small vocabulary. What is accepted must encode
 * a text to ids that exist, decode them to UTF-8, and stream what it decodes. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "fuzz.h"
#include "text/tokenizer.h"

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_failure(vkdlm_status status, const vkdlm_error *err)
{
    size_t n = strlen(err->message);
    require(err->status == status && n > 0);
    require(!strpbrk(err->message, "\r\n") && utf8_valid((const unsigned char *)err->message, n));
}

/* Pushes all ids through a decoder and compares with text. */
static void check_stream(const vkdlm_tokenizer *t, const vkdlm_ids *ids, const vkdlm_text *text)
{
    vkdlm_decoder *d;
    const char *piece;
    size_t size, done = 0;
    if (vkdlm_decoder_create(t, true, &d, NULL))
        return;
    for (size_t i = 0; i <= ids->count; i++) {
        vkdlm_status status = i < ids->count ? vkdlm_decoder_push(d, ids->ids[i], &piece, &size, NULL)
                                             : vkdlm_decoder_flush(d, &piece, &size, NULL);
        if (status)
            break;
        require(size <= text->size - done && memcmp(text->bytes + done, piece, size) == 0);
        done += size;
        require(i < ids->count || done == text->size);
    }
    vkdlm_decoder_destroy(d);
}

static void check_text(const vkdlm_tokenizer *t, const char *text, size_t size, uint32_t flags)
{
    vkdlm_ids ids;
    vkdlm_text decoded;
    vkdlm_error err = {0};
    vkdlm_status status = vkdlm_tokenize(t, text, size, flags, &ids, &err);
    if (status) {
        check_failure(status, &err);
        require(!ids.ids && ids.count == 0);
        return;
    }
    for (size_t i = 0; i < ids.count; i++)
        require(ids.ids[i] >= 0 && (uint32_t)ids.ids[i] < vkdlm_tokenizer_vocab_size(t));
    if (!vkdlm_detokenize(t, ids.ids, ids.count, true, &decoded, &err)) {
        require(utf8_valid((const unsigned char *)decoded.bytes, decoded.size));
        check_stream(t, &ids, &decoded);
        vkdlm_text_free(&decoded);
    }
    vkdlm_ids_free(&ids);
}

static void check(vkdlm_status status, vkdlm_tokenizer *t, const vkdlm_error *err)
{
    static const char text[] =
        "The  cat's 12 caf\xC3\xA9s, e\xCC\x81t\xC3\xA9\r\n\n<|a|> <b>word\xE4\xB8\x80\0\xFF aaaaaaaaaaaaaaa"
        "bbbbbbbbbbbbbbbbabababababababababababababababababababababababab";
    if (status) {
        check_failure(status, err);
        require(!t);
        return;
    }
    for (uint32_t flags = 0; flags < 4; flags++)
        check_text(t, text, sizeof text - 1, flags);
    vkdlm_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char vocab_json[] =
        "{\"a\":0,\"b\":1,\"ab\":2,\"aa\":3,\"aaaa\":4,\"\xC4\xA0\":5,\"abab\":6,\"<|endoftext|>\":7}";
    vkdlm_tokenizer *t;
    vkdlm_error err = {0};
    vkdlm_status status = tokenizer_parse_json((const char *)data, size, &t, &err);
    check(status, t, &err);
    status = tokenizer_parse_gpt2(vocab_json, sizeof vocab_json - 1, (const char *)data, size, &t, &err);
    check(status, t, &err);
    return 0;
}
