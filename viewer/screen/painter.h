/* Draws what ImGui::Render left. */
#ifndef VIEWER_PAINTER_H
#define VIEWER_PAINTER_H

#include <map>
#include <memory>

#include <imgui.h>

#include "panels/raster.h"
#include "screen/pieces.h"
#include "screen/pipelines.h"
#include "screen/texture.h"

namespace viewer
{

/* What drawing takes, whatever the device is. */
struct effort {
    uint32_t n_triangles, n_draws;
    float pixels[n_piece_kinds]; /* that are covered, each as often as it is */
    uint64_t upload_bytes;       /* of textures */
};

/* One frame at a time: what was prepared is drawn, and over on the device, before the next one is prepared.
 */
class painter
{
  public:
    explicit painter(gpu &g) : gpu_(g), ways_(g)
    {
    }
    ~painter();
    painter(const painter &) = delete;
    painter &operator=(const painter &) = delete;

    /* Draws in passes that fit this one, with the fonts of the current ImGui context. False with a sentence
     * in error. */
    bool open(VkRenderPass pass, std::string &error);
    /* The context's fonts were loaded anew. */
    void forget_letters();

    /* Whether this is not what was prepared last. */
    bool is_new(const ImDrawData &data) const;
    /* Brings it to the device; records copies, outside of a pass. */
    bool prepare(const ImDrawData &data, VkExtent2D extent, VkCommandBuffer commands, std::string &error);
    /* Records what was prepared, in a pass. */
    void draw(VkCommandBuffer commands) const;

    const effort &last() const
    {
        return last_;
    }

  private:
    /* A texture that can be drawn with. */
    struct source {
        std::unique_ptr<texture> image;
        VkDescriptorSet set = VK_NULL_HANDLE;
        std::vector<colour> colours; /* of a raster: what it holds */
        bool used = false;           /* in this frame */
    };
    struct call {
        way how;
        VkDescriptorSet set;
        VkRect2D scissor;
        uint32_t n_indices, first_index;
        int32_t first_vertex;
    };
    /* Pixels that wait to be copied. */
    struct upload {
        const texture *to;
        const void *from;
        size_t size_bytes;
    };

    bool open_source(source &s, way how, VkFormat format, uint32_t width, uint32_t height,
                     std::string &error);
    void drop_source(source &s);
    bool find_textures(const ImDrawData &data, std::vector<upload> &uploads, std::string &error);
    bool find_raster(const raster &r, std::vector<upload> &uploads, std::string &error);
    void drop_unused();
    bool reserve(size_t size_bytes, std::string &error);
    void drop_buffer();
    void add_calls(const ImDrawData &data, const ImDrawList &list, VkExtent2D extent, uint32_t first_index,
                   uint32_t first_vertex);

    gpu &gpu_;
    pipelines ways_;
    VkDescriptorPool descriptors_ = VK_NULL_HANDLE;
    source letters_;
    std::map<const raster *, source> rasters_;
    /* Vertices, indices and pixels of the frame. */
    gpu_buffer buffer_;
    uint8_t *mapped_ = nullptr;
    size_t size_bytes_ = 0, indices_at_ = 0;
    std::vector<call> calls_;
    float size_[2] = {}, scale_[2] = {}; /* of the frame: in pixels, and for the shader */
    uint64_t print_ = 0;
    effort last_ = {};
};

} // namespace viewer

#endif
