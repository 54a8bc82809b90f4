#include "screen/painter.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace viewer
{
namespace
{

constexpr uint32_t most_textures = 8;
constexpr size_t least_bytes = size_t{1} << 20; /* of the buffer, which seldom has to grow then */

size_t aligned(size_t bytes)
{
    return (bytes + 15) & ~size_t{15};
}

const raster *raster_of(const ImDrawCmd &command)
{
    return static_cast<const raster *>(command.GetTexID());
}

/* A number that frames which differ hardly share. */
class fingerprint
{
  public:
    void add(const void *data, size_t size_bytes)
    {
        const auto *bytes = static_cast<const uint8_t *>(data);
        for (uint64_t word; size_bytes >= sizeof word; bytes += sizeof word, size_bytes -= sizeof word) {
            memcpy(&word, bytes, sizeof word);
            take(word);
        }
        uint64_t rest = size_bytes;
        memcpy(&rest, bytes, size_bytes);
        take(rest);
    }
    uint64_t value() const
    {
        return value_;
    }

  private:
    void take(uint64_t word)
    {
        value_ = (value_ ^ word) * 0x9E3779B97F4A7C15;
        value_ ^= value_ >> 29;
    }
    uint64_t value_ = 0xCBF29CE484222325;
};

uint64_t print_of(const ImDrawData &data)
{
    fingerprint print;
    print.add(&data.DisplaySize, sizeof data.DisplaySize);
    print.add(&data.FramebufferScale, sizeof data.FramebufferScale);
    for (int i = 0; i < data.CmdListsCount; i++) {
        const ImDrawList &list = *data.CmdLists[i];
        print.add(list.VtxBuffer.Data, static_cast<size_t>(list.VtxBuffer.size_in_bytes()));
        print.add(list.IdxBuffer.Data, static_cast<size_t>(list.IdxBuffer.size_in_bytes()));
        for (const ImDrawCmd &c : list.CmdBuffer) {
            print.add(&c.ClipRect, sizeof c.ClipRect);
            print.add(&c.ElemCount, sizeof c.ElemCount);
            if (const raster *r = raster_of(c))
                print.add(r->colours.data(), r->colours.size() * sizeof(colour));
        }
    }
    return print.value();
}

} // namespace

painter::~painter()
{
    if (!gpu_.device)
        return;
    vkDeviceWaitIdle(gpu_.device);
    drop_buffer();
    vkDestroyDescriptorPool(gpu_.device, descriptors_, nullptr);
}

bool painter::open(VkRenderPass pass, std::string &error)
{
    VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER, most_textures};
    VkDescriptorPoolCreateInfo pool = {};
    pool.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
    pool.flags = VK_DESCRIPTOR_POOL_CREATE_FREE_DESCRIPTOR_SET_BIT;
    pool.maxSets = most_textures;
    pool.poolSizeCount = 1;
    pool.pPoolSizes = &size;
    VkResult result = vkCreateDescriptorPool(gpu_.device, &pool, nullptr, &descriptors_);
    if (result != VK_SUCCESS) {
        error = vulkan_error("preparing to draw", result);
        return false;
    }
    ImGuiIO &io = ImGui::GetIO();
    io.BackendRendererName = "vkdlm";
    io.BackendFlags |= ImGuiBackendFlags_RendererHasVtxOffset;
    /* ImGui makes no frame before it has. */
    unsigned char *pixels = nullptr;
    int width = 0, height = 0;
    io.Fonts->GetTexDataAsAlpha8(&pixels, &width, &height);
    return ways_.open(pass, error) && reserve(least_bytes, error);
}

void painter::forget_letters()
{
    drop_source(letters_);
    print_ = 0;
}

bool painter::open_source(source &s, way how, VkFormat format, uint32_t width, uint32_t height,
                          std::string &error)
{
    s.image = std::make_unique<texture>(gpu_);
    if (!s.image->open(format, width, height, error))
        return false;
    VkDescriptorSetLayout layout = ways_.set_layout();
    VkDescriptorSetAllocateInfo allocate = {};
    allocate.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    allocate.descriptorPool = descriptors_;
    allocate.descriptorSetCount = 1;
    allocate.pSetLayouts = &layout;
    VkResult result = vkAllocateDescriptorSets(gpu_.device, &allocate, &s.set);
    if (result != VK_SUCCESS) {
        s.set = VK_NULL_HANDLE;
        error = vulkan_error("preparing a texture", result);
        return false;
    }
    VkDescriptorImageInfo image = {ways_.sampler(how), s.image->view(),
                                   VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL};
    VkWriteDescriptorSet write = {};
    write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    write.dstSet = s.set;
    write.descriptorCount = 1;
    write.descriptorType = VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
    write.pImageInfo = &image;
    vkUpdateDescriptorSets(gpu_.device, 1, &write, 0, nullptr);
    return true;
}

void painter::drop_source(source &s)
{
    if (s.set)
        vkFreeDescriptorSets(gpu_.device, descriptors_, 1, &s.set);
    s.set = VK_NULL_HANDLE;
    s.image.reset();
}

bool painter::find_raster(const raster &r, std::vector<upload> &uploads, std::string &error)
{
    source &s = rasters_[&r];
    s.used = true;
    if (s.image && s.image->has_size(r.width, r.height) && s.colours == r.colours)
        return true;
    if (!s.image || !s.image->has_size(r.width, r.height)) {
        drop_source(s);
        if (!open_source(s, way::image, VK_FORMAT_R8G8B8A8_UNORM, r.width, r.height, error))
            return false;
    }
    s.colours = r.colours;
    uploads.push_back({s.image.get(), s.colours.data(), s.colours.size() * sizeof(colour)});
    return true;
}

void painter::drop_unused()
{
    for (auto it = rasters_.begin(); it != rasters_.end();) {
        const bool used = it->second.used;
        it->second.used = false;
        if (!used)
            drop_source(it->second);
        it = used ? std::next(it) : rasters_.erase(it);
    }
}

bool painter::find_textures(const ImDrawData &data, std::vector<upload> &uploads, std::string &error)
{
    if (!letters_.image) {
        unsigned char *pixels = nullptr;
        int width = 0, height = 0;
        ImGui::GetIO().Fonts->GetTexDataAsAlpha8(&pixels, &width, &height);
        const auto w = static_cast<uint32_t>(width), h = static_cast<uint32_t>(height);
        if (!open_source(letters_, way::letters, VK_FORMAT_R8_UNORM, w, h, error))
            return false;
        uploads.push_back({letters_.image.get(), pixels, size_t{w} * h});
    }
    for (int i = 0; i < data.CmdListsCount; i++)
        for (const ImDrawCmd &c : data.CmdLists[i]->CmdBuffer)
            if (const raster *r = raster_of(c); r && !find_raster(*r, uploads, error))
                return false;
    drop_unused();
    return true;
}

void painter::drop_buffer()
{
    gpu_.drop(buffer_);
    mapped_ = nullptr;
    size_bytes_ = 0;
}

bool painter::reserve(size_t size_bytes, std::string &error)
{
    if (size_bytes <= size_bytes_)
        return true;
    drop_buffer();
    size_bytes += size_bytes / 2;
    if (!gpu_.make_buffer(size_bytes,
                          VK_BUFFER_USAGE_VERTEX_BUFFER_BIT | VK_BUFFER_USAGE_INDEX_BUFFER_BIT |
                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT,
                          "preparing to draw", buffer_, error))
        return false;
    void *mapped = nullptr;
    VkResult result = vkMapMemory(gpu_.device, buffer_.memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) {
        error = vulkan_error("preparing to draw", result);
        return false;
    }
    mapped_ = static_cast<uint8_t *>(mapped);
    size_bytes_ = size_bytes;
    return true;
}

void painter::add_calls(const ImDrawData &data, const ImDrawList &list, VkExtent2D extent,
                        uint32_t first_index, uint32_t first_vertex)
{
    const ImVec2 origin = data.DisplayPos, scale = data.FramebufferScale,
                 white = ImGui::GetIO().Fonts->TexUvWhitePixel;
    auto pixel = [](float at, uint32_t most) {
        return static_cast<int32_t>(std::clamp(at, 0.0F, static_cast<float>(most)));
    };
    for (const ImDrawCmd &c : list.CmdBuffer) {
        const int32_t x0 = pixel((c.ClipRect.x - origin.x) * scale.x, extent.width),
                      y0 = pixel((c.ClipRect.y - origin.y) * scale.y, extent.height),
                      x1 = pixel((c.ClipRect.z - origin.x) * scale.x, extent.width),
                      y1 = pixel((c.ClipRect.w - origin.y) * scale.y, extent.height);
        if (x0 >= x1 || y0 >= y1 || !c.ElemCount)
            continue;
        const VkRect2D scissor = {{x0, y0}, {static_cast<uint32_t>(x1 - x0), static_cast<uint32_t>(y1 - y0)}};
        uint32_t from = first_index + c.IdxOffset;
        const raster *image = raster_of(c);
        for (const piece &p : find_pieces(list.VtxBuffer.Data + c.VtxOffset,
                                          list.IdxBuffer.Data + c.IdxOffset, c.ElemCount, white)) {
            const way how = image                            ? way::image
                            : p.kind == piece_kind::textured ? way::letters
                            : p.kind == piece_kind::blended  ? way::blended
                                                             : way::solid;
            calls_.push_back({how, image ? rasters_[image].set : letters_.set, scissor, p.n_indices, from,
                              static_cast<int32_t>(first_vertex + c.VtxOffset)});
            from += p.n_indices;
            last_.n_triangles += p.n_indices / 3;
            last_.pixels[static_cast<int>(p.kind)] += p.pixels * scale.x * scale.y;
        }
    }
    last_.n_draws = static_cast<uint32_t>(calls_.size());
}

bool painter::is_new(const ImDrawData &data) const
{
    return print_of(data) != print_;
}

bool painter::prepare(const ImDrawData &data, VkExtent2D extent, VkCommandBuffer commands, std::string &error)
{
    std::vector<upload> uploads;
    print_ = 0; /* until it is there */
    calls_.clear();
    last_ = {};
    if (!find_textures(data, uploads, error))
        return false;
    const size_t vertices = static_cast<size_t>(data.TotalVtxCount) * sizeof(ImDrawVert),
                 indices = static_cast<size_t>(data.TotalIdxCount) * sizeof(ImDrawIdx);
    indices_at_ = aligned(vertices);
    const size_t pixels_at = indices_at_ + aligned(indices);
    size_t end = pixels_at;
    for (const upload &u : uploads)
        end += aligned(u.size_bytes);
    if (!reserve(end, error))
        return false;
    uint32_t first_vertex = 0, first_index = 0;
    for (int i = 0; i < data.CmdListsCount; i++) {
        const ImDrawList &list = *data.CmdLists[i];
        memcpy(mapped_ + first_vertex * sizeof(ImDrawVert), list.VtxBuffer.Data,
               static_cast<size_t>(list.VtxBuffer.size_in_bytes()));
        memcpy(mapped_ + indices_at_ + first_index * sizeof(ImDrawIdx), list.IdxBuffer.Data,
               static_cast<size_t>(list.IdxBuffer.size_in_bytes()));
        add_calls(data, list, extent, first_index, first_vertex);
        first_vertex += static_cast<uint32_t>(list.VtxBuffer.Size);
        first_index += static_cast<uint32_t>(list.IdxBuffer.Size);
    }
    size_t at = pixels_at;
    for (const upload &u : uploads) {
        memcpy(mapped_ + at, u.from, u.size_bytes);
        u.to->record_upload(commands, buffer_.buffer, at);
        last_.upload_bytes += u.size_bytes;
        at += aligned(u.size_bytes);
    }
    size_[0] = data.DisplaySize.x * data.FramebufferScale.x;
    size_[1] = data.DisplaySize.y * data.FramebufferScale.y;
    scale_[0] = 2 / data.DisplaySize.x;
    scale_[1] = 2 / data.DisplaySize.y;
    print_ = print_of(data);
    return true;
}

void painter::draw(VkCommandBuffer commands) const
{
    if (calls_.empty())
        return;
    const VkDeviceSize start = 0;
    const VkViewport viewport = {0, 0, size_[0], size_[1], 0, 1};
    vkCmdBindVertexBuffers(commands, 0, 1, &buffer_.buffer, &start);
    vkCmdBindIndexBuffer(commands, buffer_.buffer, indices_at_,
                         sizeof(ImDrawIdx) == 2 ? VK_INDEX_TYPE_UINT16 : VK_INDEX_TYPE_UINT32);
    vkCmdSetViewport(commands, 0, 1, &viewport);
    vkCmdPushConstants(commands, ways_.layout(), VK_SHADER_STAGE_VERTEX_BIT, 0, sizeof scale_, scale_);
    const call *before = nullptr;
    VkDescriptorSet bound = VK_NULL_HANDLE;
    for (const call &c : calls_) {
        if (!before || before->how != c.how)
            vkCmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, ways_[c.how]);
        if (bound != c.set)
            vkCmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_GRAPHICS, ways_.layout(), 0, 1, &c.set,
                                    0, nullptr);
        bound = c.set;
        vkCmdSetScissor(commands, 0, 1, &c.scissor);
        vkCmdDrawIndexed(commands, c.n_indices, 1, c.first_index, c.first_vertex, 0);
        before = &c;
    }
}

} // namespace viewer
