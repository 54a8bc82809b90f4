#include "options.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>

namespace viewer
{
namespace
{

bool read_count(const std::string &text, int64_t most, int64_t &out)
{
    if (text.empty() || text.size() > 12 || text.find_first_not_of("0123456789") != std::string::npos)
        return false;
    out = std::strtoll(text.c_str(), nullptr, 10);
    return out <= most;
}

bool read_number(const std::string &text, double low, double high, double &out)
{
    char *end = nullptr;
    out = std::strtod(text.c_str(), &end);
    return !text.empty() && !*end && out >= low && out <= high;
}

bool read_size(const std::string &text, options &out)
{
    size_t cross = text.find('x');
    int64_t width = 0, height = 0;
    if (cross == std::string::npos || !read_count(text.substr(0, cross), 16384, width) ||
        !read_count(text.substr(cross + 1), 16384, height) || width < 320 || height < 240)
        return false;
    out.width = static_cast<uint32_t>(width);
    out.height = static_cast<uint32_t>(height);
    return true;
}

bool read_colour(const std::string &text, options &out)
{
    static const char *const names[n_quantities] = {"step", "probability", "entropy", "guess"};
    for (int i = 0; i < n_quantities; i++)
        if (text == names[i]) {
            out.shown = static_cast<quantity>(i);
            return true;
        }
    return false;
}

/* What an option takes, NULL when there is no such option. */
const char *take(const std::string &name, const std::string &value, options &out, bool &good)
{
    good = true;
    for (auto [known, target] : {std::pair{"--png", &out.png},
                                 {"--gif", &out.gif},
                                 {"--frames", &out.frames},
                                 {"--layout", &out.layout},
                                 {"--report", &out.report},
                                 {"--live", &out.live},
                                 {"--l2d", &out.l2d},
                                 {"--tokenizer", &out.tokenizer},
                                 {"--run", &out.run},
                                 {"--save", &out.save},
                                 {"--device", &out.device}})
        if (name == known) {
            *target = value;
            good = !value.empty();
            return "a text";
        }
    if (name == "--text") {
        out.text = value;
        return "a text";
    }
    if (name == "--given") {
        good = value == "prompt" || value == "masks" || value == "ids";
        out.given = value;
        return "prompt, masks or ids";
    }
    if (name == "--seed") {
        errno = 0;
        good = !value.empty() && value.find_first_not_of("0123456789") == std::string::npos;
        out.seed = good ? std::strtoull(value.c_str(), nullptr, 10) : 0;
        good = good && errno == 0;
        return "a whole number below 2^64";
    }
    if (name == "--length") {
        int64_t length = 0;
        good = read_count(value, UINT32_MAX, length);
        out.length = static_cast<uint32_t>(length);
        return "a whole number";
    }
    if (name == "--step") {
        good = read_count(value, UINT32_MAX, out.step);
        return "a whole number";
    }
    if (name == "--select") {
        good = read_count(value, UINT32_MAX, out.select);
        return "a position";
    }
    if (name == "--size") {
        good = read_size(value, out);
        return "WIDTHxHEIGHT, from 320x240 to 16384x16384";
    }
    if (name == "--scale") {
        good = read_number(value, 0.5, 8, out.scale);
        return "a number from 0.5 to 8";
    }
    if (name == "--speed") {
        good = read_number(value, 0, 1000, out.speed);
        return "a number from 0 to 1000";
    }
    if (name == "--colour") {
        good = read_colour(value, out);
        return "step, probability, entropy or guess";
    }
    if (name == "--theme") {
        good = value == "light" || value == "dark";
        out.dark = value == "dark";
        return "light or dark";
    }
    return nullptr;
}

} // namespace

bool read_options(const std::vector<std::string> &words, options &out, std::string &error)
{
    bool ended = false;
    for (size_t i = 0; i < words.size(); i++) {
        const std::string &word = words[i];
        if (ended || word.size() < 2 || word[0] != '-') {
            out.files.push_back(word);
            continue;
        }
        if (word == "--") {
            ended = true;
            continue;
        }
        if (word == "--guesses" || word == "--help") {
            (word == "--help" ? out.help : out.guesses) = true;
            continue;
        }
        size_t equals = word.find('=');
        bool joined = equals != std::string::npos;
        std::string name = word.substr(0, equals), value;
        if (joined)
            value = word.substr(equals + 1);
        else if (i + 1 < words.size())
            value = words[++i];
        bool good = false;
        const char *expected = take(name, value, out, good);
        if (!expected)
            error = "there is no option '" + name + "'";
        else if (!good)
            error = "'" + name + "' takes " + expected + ", not '" + value + "'";
        if (!error.empty())
            return false;
    }
    if (!out.live.empty() && !out.files.empty()) {
        error = "'--live' shows no file, and so not '" + out.files[0] + "'";
        return false;
    }
    if (!out.help && out.live.empty() && (out.files.empty() || out.files.size() > 2)) {
        error = out.files.empty() ? "a file is missing" : "at most two files can be shown";
        return false;
    }
    return true;
}

} // namespace viewer
