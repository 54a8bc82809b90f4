/* How triangles become pixels: one pipeline a way. */
#ifndef VIEWER_PIPELINES_H
#define VIEWER_PIPELINES_H

#include "screen/gpu.h"

namespace viewer
{

/* The first two need no texture. Letters take the opacity of one, images their colour. */
enum class way { solid, blended, letters, image };
constexpr int n_ways = 4;

class pipelines
{
  public:
    explicit pipelines(gpu &g) : gpu_(g)
    {
    }
    ~pipelines();
    pipelines(const pipelines &) = delete;
    pipelines &operator=(const pipelines &) = delete;

    /* For passes that fit this one. False with a sentence in error. */
    bool open(VkRenderPass pass, std::string &error);

    VkPipeline operator[](way w) const
    {
        return made_[static_cast<int>(w)];
    }
    VkPipelineLayout layout() const
    {
        return layout_;
    }
    /* Of the texture, at binding 0. */
    VkDescriptorSetLayout set_layout() const
    {
        return set_layout_;
    }
    VkSampler sampler(way w) const
    {
        return w == way::image ? nearest_ : linear_;
    }

  private:
    bool make_layouts();
    VkShaderModule load(const uint32_t *words, size_t size_bytes) const;
    VkResult make(VkRenderPass pass, VkShaderModule corners, VkShaderModule pixels, bool blends,
                  VkPipeline *out) const;

    gpu &gpu_;
    VkSampler linear_ = VK_NULL_HANDLE, nearest_ = VK_NULL_HANDLE;
    VkDescriptorSetLayout set_layout_ = VK_NULL_HANDLE;
    VkPipelineLayout layout_ = VK_NULL_HANDLE;
    VkPipeline made_[n_ways] = {};
};

} // namespace viewer

#endif
