/* Animations, by giflib. A frame holds only the part of the picture that changed. */
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include <fcntl.h>
#include <gif_lib.h>
#include <unistd.h>

#include "screen/picture.h"

namespace viewer
{
namespace
{

constexpr int n_colours = 256;

struct rectangle {
    uint32_t x0, y0, x1, y1;
};

/* The pixels that differ; all of them without an earlier picture. */
rectangle changed_part(const picture &now, const std::vector<uint8_t> &before)
{
    rectangle r = {now.width, now.height, 0, 0};
    if (before.empty())
        return {0, 0, now.width, now.height};
    for (uint32_t y = 0; y < now.height; y++) {
        const uint8_t *a = &now.pixels[size_t{y} * now.width * 4], *b = &before[size_t{y} * now.width * 4];
        if (!memcmp(a, b, size_t{now.width} * 4))
            continue;
        uint32_t first = 0, last = now.width - 1;
        while (!memcmp(a + 4 * first, b + 4 * first, 4))
            first++;
        while (!memcmp(a + 4 * last, b + 4 * last, 4))
            last--;
        r = {std::min(r.x0, first), std::min(r.y0, y), std::max(r.x1, last + 1), y + 1};
    }
    return r.x1 ? r : rectangle{0, 0, 1, 1};
}

/* Indices of a part of a picture and its colours. Parts of at most 256 colours keep them exactly. */
struct indexed {
    std::vector<GifByteType> indices;
    std::vector<GifColorType> colours;
};

bool index_exactly(const picture &p, const rectangle &r, indexed &out)
{
    std::unordered_map<uint32_t, GifByteType> known;
    for (uint32_t y = r.y0; y < r.y1; y++)
        for (uint32_t x = r.x0; x < r.x1; x++) {
            const uint8_t *c = &p.pixels[(size_t{y} * p.width + x) * 4];
            uint32_t key = uint32_t{c[0]} | uint32_t{c[1]} << 8 | uint32_t{c[2]} << 16;
            auto found = known.find(key);
            if (found == known.end()) {
                if (known.size() == n_colours)
                    return false;
                found = known.emplace(key, static_cast<GifByteType>(known.size())).first;
                out.colours.push_back({c[0], c[1], c[2]});
            }
            out.indices.push_back(found->second);
        }
    return true;
}

bool index_nearly(const picture &p, const rectangle &r, indexed &out)
{
    const size_t n = size_t{r.x1 - r.x0} * (r.y1 - r.y0);
    std::vector<GifByteType> planes[3];
    for (int k = 0; k < 3; k++)
        for (uint32_t y = r.y0; y < r.y1; y++)
            for (uint32_t x = r.x0; x < r.x1; x++)
                planes[k].push_back(p.pixels[(size_t{y} * p.width + x) * 4 + static_cast<size_t>(k)]);
    int size = n_colours;
    out.indices.assign(n, 0);
    out.colours.assign(n_colours, {});
    return GifQuantizeBuffer(r.x1 - r.x0, r.y1 - r.y0, &size, planes[0].data(), planes[1].data(),
                             planes[2].data(), out.indices.data(), out.colours.data()) == GIF_OK;
}

class giflib_writer final : public gif_writer
{
  public:
    explicit giflib_writer(std::string path) : path_(std::move(path)), temporary_(path_ + ".part")
    {
    }
    ~giflib_writer() override
    {
        int code = 0;
        if (file_)
            EGifCloseFile(file_, &code);
        if (!finished_)
            remove(temporary_.c_str());
    }
    giflib_writer(const giflib_writer &) = delete;
    giflib_writer &operator=(const giflib_writer &) = delete;

    bool open(uint32_t width, uint32_t height, std::string &error)
    {
        int code = 0;
        int handle = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
        file_ = handle >= 0 ? EGifOpenFileHandle(handle, &code) : nullptr;
        if (!file_) {
            error = "cannot create '" + path_ + "'" + (handle < 0 ? std::string(": ") + strerror(errno) : "");
            if (handle >= 0)
                close(handle);
            return false;
        }
        EGifSetGifVersion(file_, true);
        static const char loops[] = {1, 0, 0};
        bool good = EGifPutScreenDesc(file_, static_cast<int>(width), static_cast<int>(height), 8, 0,
                                      nullptr) == GIF_OK &&
                    EGifPutExtensionLeader(file_, APPLICATION_EXT_FUNC_CODE) == GIF_OK &&
                    EGifPutExtensionBlock(file_, 11, "NETSCAPE2.0") == GIF_OK &&
                    EGifPutExtensionBlock(file_, 3, loops) == GIF_OK &&
                    EGifPutExtensionTrailer(file_) == GIF_OK;
        return good || fail(error);
    }

    bool add(const picture &p, int hundredths, std::string &error) override
    {
        const rectangle r = changed_part(p, before_);
        indexed part;
        if (!index_exactly(p, r, part)) {
            part = {};
            if (!index_nearly(p, r, part))
                return fail(error);
        }
        before_ = p.pixels;
        int size = 2;
        while (size < static_cast<int>(part.colours.size()))
            size *= 2;
        part.colours.resize(static_cast<size_t>(size));
        ColorMapObject *map = GifMakeMapObject(size, part.colours.data());
        GraphicsControlBlock control = {};
        control.DisposalMode = DISPOSE_DO_NOT;
        control.DelayTime = hundredths;
        control.TransparentColor = NO_TRANSPARENT_COLOR;
        GifByteType extension[4];
        EGifGCBToExtension(&control, extension);
        const int width = static_cast<int>(r.x1 - r.x0), height = static_cast<int>(r.y1 - r.y0);
        bool good = map &&
                    EGifPutExtension(file_, GRAPHICS_EXT_FUNC_CODE, sizeof extension, extension) == GIF_OK &&
                    EGifPutImageDesc(file_, static_cast<int>(r.x0), static_cast<int>(r.y0), width, height,
                                     false, map) == GIF_OK;
        for (int y = 0; good && y < height; y++)
            good = EGifPutLine(file_, &part.indices[static_cast<size_t>(y) * static_cast<size_t>(width)],
                               width) == GIF_OK;
        GifFreeMapObject(map);
        return good || fail(error);
    }

    bool finish(std::string &error) override
    {
        int code = 0;
        bool good = EGifCloseFile(file_, &code) == GIF_OK;
        file_ = nullptr;
        finished_ = good && rename(temporary_.c_str(), path_.c_str()) == 0;
        return finished_ || fail(error);
    }

  private:
    bool fail(std::string &error)
    {
        error = "cannot write '" + path_ + "'";
        return false;
    }

    std::string path_, temporary_;
    GifFileType *file_ = nullptr;
    std::vector<uint8_t> before_;
    bool finished_ = false;
};

} // namespace

std::unique_ptr<gif_writer> create_gif(const std::string &path, uint32_t width, uint32_t height,
                                       std::string &error)
{
    auto out = std::make_unique<giflib_writer>(path);
    if (!out->open(width, height, error))
        return nullptr;
    return out;
}

} // namespace viewer
