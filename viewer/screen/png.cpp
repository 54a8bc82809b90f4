#include <cerrno>
#include <cstdio>
#include <cstring>

#include <png.h>

#include "screen/picture.h"

namespace viewer
{

bool write_png(const std::string &path, const picture &p, std::string &error)
{
    const std::string temporary = path + ".part";
    FILE *file = fopen(temporary.c_str(), "wb");
    if (!file) {
        error = "cannot create '" + path + "': " + strerror(errno);
        return false;
    }
    png_image image = {};
    image.version = PNG_IMAGE_VERSION;
    image.width = p.width;
    image.height = p.height;
    /* What is drawn is opaque: the alpha that blending leaves means nothing. */
    std::vector<uint8_t> rgb_pixels(size_t{p.width} * p.height * 3);
    for (size_t i = 0; i < rgb_pixels.size() / 3; i++)
        memcpy(&rgb_pixels[3 * i], &p.pixels[4 * i], 3);
    image.format = PNG_FORMAT_RGB;
    bool good = png_image_write_to_stdio(&image, file, 0, rgb_pixels.data(), 0, nullptr);
    std::string reason = image.message;
    if (fclose(file) != 0 && good) {
        reason = strerror(errno);
        good = false;
    }
    if (good && rename(temporary.c_str(), path.c_str()) != 0) {
        reason = strerror(errno);
        good = false;
    }
    if (!good) {
        remove(temporary.c_str());
        error = "cannot write '" + path + "': " + reason;
    }
    return good;
}

} // namespace viewer
