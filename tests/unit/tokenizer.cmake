# The tokenizer's tests. Each folder of tests/golden/tokenizer holds a tokenizer and what it must give; its files
# are brought together, unpacked, in the build tree.
find_program(XZ xz REQUIRED)

set(golden ${PROJECT_SOURCE_DIR}/tests/golden/tokenizer)
set(unpacked ${CMAKE_CURRENT_BINARY_DIR}/tokenizer)
file(GLOB golden_files CONFIGURE_DEPENDS RELATIVE ${golden} ${golden}/*/*)
set(unpacked_files)
set(folders)
foreach(file ${golden_files})
  get_filename_component(folder ${file} DIRECTORY)
  list(APPEND folders ${folder})
  file(MAKE_DIRECTORY ${unpacked}/${folder})
  string(REGEX REPLACE "[.]xz$" "" target ${unpacked}/${file})
  if(file MATCHES "[.]xz$")
    add_custom_command(OUTPUT ${target} COMMAND ${XZ} -dc ${golden}/${file} > ${target}
      DEPENDS ${golden}/${file} VERBATIM)
  else()
    add_custom_command(OUTPUT ${target} COMMAND ${CMAKE_COMMAND} -E copy ${golden}/${file} ${target}
      DEPENDS ${golden}/${file} VERBATIM)
  endif()
  list(APPEND unpacked_files ${target})
endforeach()
add_custom_target(tokenizer_golden ALL DEPENDS ${unpacked_files})

vkdlm_test(test_tokenizer_golden test_tokenizer_golden.c)
list(REMOVE_DUPLICATES folders)
foreach(folder ${folders})
  add_test(NAME golden_tokenizer_${folder} COMMAND test_tokenizer_golden ${unpacked}/${folder})
endforeach()

foreach(name tokenizer tokenizer_json tokenizer_memory tokenizer_regex)
  vkdlm_test(test_${name} test_${name}.c)
  add_test(NAME unit_${name} COMMAND test_${name})
endforeach()
target_link_options(test_tokenizer_memory PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
