# Tests that need a Vulkan driver.
#
# vkdlm_gpu_test(name SOURCES a.c ... [KERNEL_MATRIX] [NO_VALIDATION] [LABELS l ...] [TIMEOUT seconds]): builds one
# cmocka program with tests/gpu_test.c and registers it once per driver: name.lavapipe, name.swiftshader, and
# name.validation (lavapipe with VKDLM_TEST_VALIDATION=1). KERNEL_MATRIX adds lavapipe at vector widths of 128 and 512
# bits (subgroup sizes 4 and 16) and lavapipe with VKDLM_TEST_NO_SUBGROUPS=1. NO_VALIDATION leaves out the run under
# validation, for long statistics over what other tests already validate. Each variant carries its driver's label.
# All but name.lavapipe run with VKDLM_TEST_QUICK=1, and so do builds with sanitizers, which watch the host's code and
# not the kernels. Tests with more than the usual timeout begin first.

find_file(VKDLM_LAVAPIPE_ICD NAMES lvp_icd.x86_64.json lvp_icd.aarch64.json lvp_icd.json
  PATHS /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /opt/homebrew/share/vulkan/icd.d
  DOC "Mesa's CPU driver (package mesa-vulkan-drivers)" NO_DEFAULT_PATH)
find_file(VKDLM_SWIFTSHADER_ICD NAMES vk_swiftshader_icd.json
  PATHS /usr/lib/chromium /usr/lib/swiftshader /opt/google/chrome
  DOC "SwiftShader, a second CPU driver (package chromium-common)" NO_DEFAULT_PATH)
find_file(VKDLM_VALIDATION_LAYER NAMES VkLayer_khronos_validation.json
  PATHS /usr/share/vulkan/explicit_layer.d /usr/local/share/vulkan/explicit_layer.d /opt/homebrew/share/vulkan/explicit_layer.d
  DOC "The validation layer (package vulkan-validationlayers)" NO_DEFAULT_PATH)
foreach(driver LAVAPIPE_ICD SWIFTSHADER_ICD VALIDATION_LAYER)
  if(NOT VKDLM_${driver})
    message(WARNING "GPU tests: VKDLM_${driver} was not found; the tests that use it are left out")
  endif()
endforeach()

# Mesa's compiled kernels. Builds of the same shaders may share them.
set(VKDLM_TEST_MESA_CACHE ${PROJECT_BINARY_DIR}/mesa-cache CACHE PATH "Where tests keep Mesa's compiled kernels")

# Registers a run of target `name` as name.variant with these environment settings.
function(vkdlm_gpu_variant name variant driver icd)
  add_test(NAME ${name}.${variant} COMMAND ${name})
  set(environment ${ARGN}
    VK_ICD_FILENAMES=${icd} VK_DRIVER_FILES=${icd} MESA_SHADER_CACHE_DIR=${VKDLM_TEST_MESA_CACHE})
  if(VKDLM_SANITIZE)
    list(APPEND environment VKDLM_TEST_QUICK=1 LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0)
  endif()
  set_tests_properties(${name}.${variant} PROPERTIES
    ENVIRONMENT "${environment}" LABELS "gpu;${driver};${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
  if(arg_TIMEOUT GREATER 1200)
    set_tests_properties(${name}.${variant} PROPERTIES COST ${arg_TIMEOUT})
  endif()
endfunction()

function(vkdlm_gpu_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "KERNEL_MATRIX;NO_VALIDATION" "TIMEOUT" "SOURCES;LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 1200)
  endif()
  set(same_kernels)
  vkdlm_test(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/gpu_test.c)
  target_compile_definitions(${name} PRIVATE TESTS_BINARY_DIR="${PROJECT_BINARY_DIR}/tests")
  if(VKDLM_LAVAPIPE_ICD)
    vkdlm_gpu_variant(${name} lavapipe lavapipe ${VKDLM_LAVAPIPE_ICD} LP_NATIVE_VECTOR_WIDTH=256)
    if(arg_KERNEL_MATRIX)
      vkdlm_gpu_variant(${name} lavapipe128 lavapipe ${VKDLM_LAVAPIPE_ICD} LP_NATIVE_VECTOR_WIDTH=128
        VKDLM_TEST_QUICK=1)
      vkdlm_gpu_variant(${name} lavapipe512 lavapipe ${VKDLM_LAVAPIPE_ICD} LP_NATIVE_VECTOR_WIDTH=512
        VKDLM_TEST_QUICK=1)
      vkdlm_gpu_variant(${name} no_subgroups lavapipe ${VKDLM_LAVAPIPE_ICD} VKDLM_TEST_NO_SUBGROUPS=1
        VKDLM_TEST_QUICK=1)
      list(APPEND same_kernels ${name}.no_subgroups)
    endif()
    if(VKDLM_VALIDATION_LAYER AND NOT arg_NO_VALIDATION)
      # The layer leaks, and is unloaded before it could be recognised: the other variants look for our leaks.
      vkdlm_gpu_variant(${name} validation lavapipe ${VKDLM_LAVAPIPE_ICD} VKDLM_TEST_VALIDATION=1
        VKDLM_TEST_QUICK=1 ASAN_OPTIONS=detect_leaks=0)
      list(APPEND same_kernels ${name}.validation)
    endif()
    # Beside each other they would compile the same kernels twice.
    if(same_kernels)
      set_tests_properties(${same_kernels} PROPERTIES DEPENDS ${name}.lavapipe)
    endif()
  endif()
  if(VKDLM_SWIFTSHADER_ICD)
    vkdlm_gpu_variant(${name} swiftshader swiftshader ${VKDLM_SWIFTSHADER_ICD} VKDLM_TEST_QUICK=1)
  endif()
endfunction()
