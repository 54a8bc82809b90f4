# Reports every #include that breaks the order of the layers.
#
#   cmake -DROOT=<source tree> -P layering.cmake
#
# Prints one line a violation, "file includes what: layer x must not include y", and fails when there is one.
# A quoted name is looked for beside the file and then, like every other, under runtime/, include/ and ROOT.
cmake_minimum_required(VERSION 3.22)

# layer | what it may include: other layers, or single headers of them.
# "public" is include/vkdlm; "vulkan" the headers of Vulkan and volk; "shaders" the structs shared with GLSL.
set(may_include
  "public  | public"
  "base    | base public"
  "format  | format base public"
  "text    | text base public format/gguf.h"
  "gpu     | gpu base public vulkan shaders"
  "ops     | ops gpu base public shaders format/quant.h"
  "model   | model ops gpu format base public shaders"
  "sample  | sample base public model/denoiser.h model/causal.h"
  "session | session sample model ops gpu text format base public"
  "trajectory | trajectory base public format/json.h"
  "cli     | cli public"
  "view_run   | view_run public"
  "view_live  | view_live view_run public cli/canvas.h cli/locate.h"
  "view_state | view_state view_live view_run public"
  "viewer     | viewer view_state view_live view_run public vulkan")

# Folder of ROOT | layer, the first that fits. Headers that the build generates have no folder of their own.
set(folders
  "include/vkdlm/  | public"
  "runtime/base/   | base"
  "runtime/format/ | format"
  "runtime/text/   | text"
  "runtime/gpu/    | gpu"
  "runtime/ops/    | ops"
  "runtime/model/  | model"
  "runtime/sample/ | sample"
  "runtime/cli/    | cli"
  "runtime/trajectory/ | trajectory"
  "runtime/        | session"
  "viewer/run/     | view_run"
  "viewer/live/    | view_live"
  "viewer/state/   | view_state"
  "viewer/         | viewer"
  "shaders/        | shaders")
set(generated
  "kernels.h | gpu"
  "viewer_shaders.h | viewer")

# Sets `out` to the second column of the first row of `table` whose first column begins `key` (or equals it).
function(look_up table key exact out)
  set(${out} "" PARENT_SCOPE)
  foreach(row IN LISTS ${table})
    string(REGEX MATCH "^([^ ]+) *[|] *(.*)$" matched "${row}")
    string(FIND "${key}" "${CMAKE_MATCH_1}" position)
    if((exact AND key STREQUAL CMAKE_MATCH_1) OR (NOT exact AND position EQUAL 0))
      set(${out} "${CMAKE_MATCH_2}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

# Sets `path` to where under ROOT the header is and `layer` to its layer; "" and "" for a system header.
function(resolve file header path layer)
  set(${path} "" PARENT_SCOPE)
  set(${layer} "" PARENT_SCOPE)
  if(header MATCHES "^(vulkan/|volk[.]h|vk_)")
    set(${layer} vulkan PARENT_SCOPE)
    return()
  endif()
  look_up(generated "${header}" TRUE found)
  if(found)
    set(${layer} ${found} PARENT_SCOPE)
    return()
  endif()
  get_filename_component(folder ${file} DIRECTORY)
  foreach(place ${folder} runtime viewer include .)
    if(EXISTS ${ROOT}/${place}/${header})
      file(RELATIVE_PATH relative ${ROOT} ${ROOT}/${place}/${header})
      look_up(folders "${relative}" FALSE found)
      set(${path} ${relative} PARENT_SCOPE)
      set(${layer} "${found}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

get_filename_component(ROOT ${ROOT} ABSOLUTE)
file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/include/*.h ${ROOT}/runtime/*.c ${ROOT}/runtime/*.h
  ${ROOT}/viewer/*.cpp ${ROOT}/viewer/*.h)
set(n_files 0)
set(n_includes 0)
set(violations)
foreach(file IN LISTS files)
  math(EXPR n_files "${n_files} + 1")
  look_up(folders ${file} FALSE own_layer)
  look_up(may_include "${own_layer}" TRUE allowed)
  separate_arguments(allowed)
  file(READ ${ROOT}/${file} content)
  string(REGEX MATCHALL "\n[ \t]*#[ \t]*include[ \t]*(\"[^\"\n]*\"|<[^>\n]*>|[A-Za-z_]+)" lines "\n${content}")
  foreach(line IN LISTS lines)
    string(STRIP "${line}" line)
    if(NOT line MATCHES "[<\"]([^>\"]+)[>\"]")
      list(APPEND violations "${file} includes by a macro: ${line}")
      continue()
    endif()
    set(header ${CMAKE_MATCH_1})
    math(EXPR n_includes "${n_includes} + 1")
    resolve(${file} ${header} path layer)
    if(NOT layer)
      if(line MATCHES "\"" OR path)
        list(APPEND violations "${file} includes ${header}: no layer holds it")
      endif()
      continue()
    endif()
    string(REGEX REPLACE "^runtime/" "" short "${path}")
    if(NOT layer IN_LIST allowed AND NOT short IN_LIST allowed)
      list(APPEND violations "${file} includes ${header}: layer ${own_layer} must not include ${layer}")
    endif()
  endforeach()
endforeach()

foreach(violation IN LISTS violations)
  message("${violation}")
endforeach()
if(violations)
  message(FATAL_ERROR "The order of the layers is broken.")
endif()
if(n_includes EQUAL 0)
  message(FATAL_ERROR "No #include found under ${ROOT}.")
endif()
message(STATUS "${n_includes} includes of ${n_files} files keep the order of the layers")
