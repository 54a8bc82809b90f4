/* Chat templates recognised by their text; see vkdlm/chat.h. */
#ifndef TEXT_CHAT_TEMPLATE_H
#define TEXT_CHAT_TEMPLATE_H

#include <vkdlm/chat.h>

/* Recognises a template (NUL-terminated Jinja source). begin: the beginning-of-text token that it may write,
 * NULL for the family's own. Errors: UNSUPPORTED, OUT_OF_HOST_MEMORY. *out is NULL on failure. */
vkdlm_status chat_template_recognise(const char *source, const char *begin, vkdlm_chat_template **out,
                                     vkdlm_error *err);

#endif
