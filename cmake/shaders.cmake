# Compute kernels: GLSL -> SPIR-V -> C arrays.
#
# shaders/kernels.cmake has one row a variant:
#   kernel(NAME source.comp [DEFINE[=VALUE] ...] [REQUIRES GL_extension ...])
# A row whose extension the installed glslc does not know stays in the table without code: gpu_kernel_built()
# is false for it and gpu_pipeline_get says UNSUPPORTED. glslc's -O pays even on drivers with an optimiser of their
# own: 2.5 times on the norm, nothing lost on the matrix products (Mesa 22.3 CPU driver).
#
# kernels_finish() writes generated/kernels.h and generated/kernels.c in the build tree; the target vkdlm_shaders
# builds what they include.

find_program(VKDLM_GLSLC glslc REQUIRED)
set(VKDLM_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${VKDLM_GENERATED_DIR}/spirv)

# Sets VKDLM_GLSLC_<extension> to whether glslc accepts the extension.
function(glslc_supports extension out)
  set(result VKDLM_GLSLC_${extension})
  if(NOT DEFINED CACHE{${result}})
    set(source ${VKDLM_GENERATED_DIR}/probe_${extension}.comp)
    file(WRITE ${source} "#version 450\n#extension ${extension} : require\nlayout(local_size_x = 1) in;\nvoid main() {}\n")
    execute_process(COMMAND ${VKDLM_GLSLC} --target-env=vulkan1.1 -c ${source} -o ${source}.spv
      RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(failed)
      set(${result} FALSE CACHE INTERNAL "glslc accepts ${extension}")
      message(STATUS "glslc does not know ${extension}: kernels that need it are left out")
    else()
      set(${result} TRUE CACHE INTERNAL "glslc accepts ${extension}")
    endif()
  endif()
  set(${out} ${${result}} PARENT_SCOPE)
endfunction()

function(kernel name source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "REQUIRES")
  set(built TRUE)
  foreach(extension IN LISTS arg_REQUIRES)
    glslc_supports(${extension} supported)
    if(NOT supported)
      set(built FALSE)
    endif()
  endforeach()
  get_property(names GLOBAL PROPERTY VKDLM_KERNELS)
  if(name IN_LIST names)
    message(FATAL_ERROR "kernel ${name} is listed twice")
  endif()
  set_property(GLOBAL APPEND PROPERTY VKDLM_KERNELS ${name})
  set_property(GLOBAL PROPERTY VKDLM_KERNEL_BUILT_${name} ${built})
  if(NOT built)
    return()
  endif()
  set(flags -O)
  foreach(define IN LISTS arg_UNPARSED_ARGUMENTS)
    list(APPEND flags -D${define})
  endforeach()
  set(output ${VKDLM_GENERATED_DIR}/spirv/${name}.inc)
  add_custom_command(OUTPUT ${output}
    COMMAND ${VKDLM_GLSLC} --target-env=vulkan1.1 -fshader-stage=compute ${flags}
            -I ${PROJECT_SOURCE_DIR}/shaders/lib -I ${PROJECT_SOURCE_DIR}/shaders
            -mfmt=num -MD -MF ${output}.d -o ${output} ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    MAIN_DEPENDENCY ${CMAKE_CURRENT_SOURCE_DIR}/${source}
    DEPFILE ${output}.d
    COMMENT "Shader ${name}"
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY VKDLM_KERNEL_OUTPUTS ${output})
endfunction()

function(kernels_finish)
  get_property(names GLOBAL PROPERTY VKDLM_KERNELS)
  get_property(outputs GLOBAL PROPERTY VKDLM_KERNEL_OUTPUTS)
  set(enum "")
  set(arrays "")
  set(rows "")
  foreach(name IN LISTS names)
    string(TOLOWER ${name} lower)
    string(APPEND enum "    GPU_KERNEL_${name},\n")
    get_property(built GLOBAL PROPERTY VKDLM_KERNEL_BUILT_${name})
    if(built)
      string(APPEND arrays "static const uint32_t ${lower}[] = {\n#include \"spirv/${name}.inc\"\n};\n")
      string(APPEND rows "    {\"${lower}\", ${lower}, sizeof ${lower} / 4},\n")
    else()
      string(APPEND rows "    {\"${lower}\", 0, 0},\n")
    endif()
  endforeach()
  file(CONFIGURE OUTPUT ${VKDLM_GENERATED_DIR}/kernels.h @ONLY CONTENT
"/* Generated from shaders/kernels.cmake. */
#ifndef GPU_KERNELS_H
#define GPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum gpu_kernel {
@enum@    GPU_KERNEL_COUNT
};

/* SPIR-V of each kernel; n_words is 0 where the installed glslc could not build it. */
struct gpu_kernel_code {
    const char *name;
    const uint32_t *words;
    size_t n_words;
};
extern const struct gpu_kernel_code gpu_kernel_codes[GPU_KERNEL_COUNT + 1];

#endif
")
  file(CONFIGURE OUTPUT ${VKDLM_GENERATED_DIR}/kernels.c @ONLY CONTENT
"/* Generated from shaders/kernels.cmake. */
#include \"kernels.h\"

@arrays@
const struct gpu_kernel_code gpu_kernel_codes[GPU_KERNEL_COUNT + 1] = {
@rows@    {0, 0, 0},
};
")
  add_custom_target(vkdlm_shaders DEPENDS ${outputs})
endfunction()
