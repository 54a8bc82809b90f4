# What `cmake --install` puts under the prefix: headers, library, command line, bundled models,
# and the descriptions by which pkg-config and CMake's find_package find the library.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vkdlm)

install(TARGETS vkdlm EXPORT vkdlm-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET vkdlm_cli)
  # The installed program finds its library wherever the prefix is moved to.
  file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(vkdlm_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  install(TARGETS vkdlm_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(TARGET vkdlm_view)
  set_target_properties(vkdlm_view PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  install(TARGETS vkdlm_view RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(DIRECTORY include/vkdlm DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/vkdlm/models)

# A static library names the libraries that it needs; a shared one has them inside.
set(dependencies jansson libpcre2-8 libutf8proc)
list(JOIN dependencies " " requires)
# Paths in vkdlm.pc are relative to the file, so that the prefix can be moved.
file(RELATIVE_PATH pc_to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
foreach(kind INCLUDE LIB DATA)
  string(TOLOWER ${kind} lower)
  file(RELATIVE_PATH prefix_to_${lower} ${CMAKE_INSTALL_PREFIX} ${CMAKE_INSTALL_FULL_${kind}DIR})
endforeach()
configure_file(cmake/vkdlm.pc.in vkdlm.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/vkdlm.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(model_dir ${CMAKE_INSTALL_DATADIR}/vkdlm/models)
configure_package_config_file(cmake/vkdlm-config.cmake.in vkdlm-config.cmake
  INSTALL_DESTINATION ${package_dir} PATH_VARS model_dir)
write_basic_package_version_file(vkdlm-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vkdlm-config.cmake ${PROJECT_BINARY_DIR}/vkdlm-config-version.cmake
  DESTINATION ${package_dir})
install(EXPORT vkdlm-targets NAMESPACE vkdlm:: DESTINATION ${package_dir})
