/* Chat templates: messages as the text that an instruction-tuned model was trained to read.
 *
 * A template file is a Jinja program. Those of the supported families are recognised by the marks that they
 * write, and formatted here; others are refused.
 *
 * Thread rules: a template is immutable after open and may be used from any thread at once. */
#ifndef VKDLM_CHAT_H
#define VKDLM_CHAT_H

#include <vkdlm/status.h>
#include <vkdlm/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vkdlm_chat_template vkdlm_chat_template;

typedef enum vkdlm_chat_family {
    VKDLM_CHAT_LLAMA3, /* <|start_header_id|>role<|end_header_id|> ... <|eot_id|> */
    VKDLM_CHAT_CHATML, /* <|im_start|>role ... <|im_end|>, as Qwen2 and Qwen2.5 write it */
} vkdlm_chat_family;

typedef struct vkdlm_chat_message {
    const char *role; /* "system" (the first message only), "user" or "assistant" */
    const char *content;
} vkdlm_chat_message;

/* Opens the template at `path`: a directory with chat_template.jinja or tokenizer_config.json, one of these
 * two files, another file of such a directory (its tokenizer.json), or a GGUF file. Of a list of named
 * templates, "default" is taken. Errors: NOT_FOUND (no such file, or one without a template), IO, MALFORMED,
 * UNSUPPORTED (a template of another family), each naming the file. *out is NULL on failure. */
VKDLM_API vkdlm_status vkdlm_chat_template_open(const char *path, vkdlm_chat_template **out,
                                                vkdlm_error *err);
/* NULL is allowed. */
VKDLM_API void vkdlm_chat_template_close(vkdlm_chat_template *chat);
VKDLM_API vkdlm_chat_family vkdlm_chat_template_family(const vkdlm_chat_template *chat);

/* Writes n_messages messages as the template does, with the system text that it gives when the first message
 * is none (Llama 3.1 and later: with the knowledge cutoff and today's date). add_generation_prompt: the text
 * ends where the assistant's answer begins. date ("26 Jul 2024") stands for today in templates that write it;
 * NULL: what the template says, which is the local date for Llama 3.2 and a fixed one for Llama 3.1.
 * The text begins with the beginning-of-text mark where the template writes one, so it is tokenized with
 * VKDLM_TOKENIZE_NO_SPECIAL. Errors: INVALID_ARGUMENT (a role, a message, none at all), OUT_OF_HOST_MEMORY.
 * The caller frees *out with vkdlm_text_free. */
VKDLM_API vkdlm_status vkdlm_chat_format(const vkdlm_chat_template *chat, const vkdlm_chat_message *messages,
                                         size_t n_messages, bool add_generation_prompt, const char *date,
                                         vkdlm_text *out, vkdlm_error *err);

#ifdef __cplusplus
}
#endif

#endif
