# Runs layering.cmake on fixture/, where every file that fixture/expected.txt names breaks a rule, and compares.
cmake_minimum_required(VERSION 3.22)

set(fixture ${CMAKE_CURRENT_LIST_DIR}/fixture)
execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${fixture} -P ${CMAKE_CURRENT_LIST_DIR}/layering.cmake
  RESULT_VARIABLE result ERROR_VARIABLE output OUTPUT_QUIET)
if(result EQUAL 0)
  message(FATAL_ERROR "The fixture breaks the order of the layers, and nothing was reported.")
endif()
file(READ ${fixture}/expected.txt expected)
string(FIND "${output}" "CMake Error" end)
string(SUBSTRING "${output}" 0 ${end} found)
if(NOT found STREQUAL expected)
  message(FATAL_ERROR "Expected:\n${expected}\nFound:\n${output}")
endif()
