# The Vulkan layer.
foreach(name device memory commands compiler cache failures)
  vkdlm_gpu_test(test_gpu_${name} LABELS unit SOURCES test_gpu_${name}.c)
endforeach()
target_link_options(test_gpu_failures PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
target_link_options(test_gpu_compiler PRIVATE -Wl,--wrap=pthread_create)
unit_test(gpu_choose)
unit_test(gpu_spirv)
