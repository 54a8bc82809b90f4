# Warnings and sanitizers, applied through the interface target vkdlm_flags.
add_library(vkdlm_flags INTERFACE)
target_compile_options(vkdlm_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
  $<$<BOOL:${VKDLM_WERROR}>:-Werror>)
target_compile_definitions(vkdlm_flags INTERFACE _GNU_SOURCE VKDLM_VERSION="${PROJECT_VERSION}")
if(VKDLM_SANITIZE)
  target_compile_options(vkdlm_flags INTERFACE
    -fsanitize=${VKDLM_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(vkdlm_flags INTERFACE -fsanitize=${VKDLM_SANITIZE})
endif()
