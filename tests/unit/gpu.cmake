# The Vulkan layer.
foreach(name device memory commands cache)
  vkdlm_gpu_test(test_gpu_${name} LABELS unit SOURCES test_gpu_${name}.c)
endforeach()
unit_test(gpu_choose)
unit_test(gpu_spirv)
