#include "state/form.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace viewer
{
namespace
{

bool is_digits(const std::string &text)
{
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool read_seed(const std::string &text, uint64_t &out)
{
    errno = 0;
    out = is_digits(text) ? std::strtoull(text.c_str(), nullptr, 10) : 0;
    return is_digits(text) && errno == 0;
}

/* Empty is the default, 0, which therefore cannot be typed where `positive`. */
bool read_count(const char *name, const std::string &text, bool positive, uint32_t &out, std::string &error)
{
    out = 0;
    if (text.empty())
        return true;
    const bool good = is_digits(text) && text.size() <= 10;
    const unsigned long long value = good ? std::strtoull(text.c_str(), nullptr, 10) : 0;
    if (!good || value > UINT32_MAX || (positive && !value)) {
        error = std::string(name) +
                (positive ? " takes a whole number above 0, not '" : " takes a whole number, not '") + text +
                "'";
        return false;
    }
    out = static_cast<uint32_t>(value);
    return true;
}

bool read_number(const char *name, const std::string &text, double &out, std::string &error)
{
    out = 0;
    if (text.empty())
        return true;
    char *end = nullptr;
    double value = std::strtod(text.c_str(), &end);
    if (*end || !(value >= 0 && value <= 1e30)) {
        error = std::string(name) + " takes a number of 0 or more, not '" + text + "'";
        return false;
    }
    out = value;
    return true;
}

std::string count_text(uint32_t value)
{
    return value ? std::to_string(value) : "";
}

std::string number_text(double value)
{
    char text[32];
    snprintf(text, sizeof text, "%g", value);
    return value != 0 ? text : "";
}

} // namespace

const std::vector<std::string> &method_names(bool causal)
{
    static const std::vector<std::string> samplers = [] {
        std::vector<std::string> out;
        for (int i = 0; i < VKDLM_SAMPLER_COUNT; i++)
            out.push_back(vkdlm_sampler_name(static_cast<vkdlm_sampler>(i)));
        return out;
    }();
    static const std::vector<std::string> solvers = [] {
        std::vector<std::string> out = {"model's solver"};
        for (int i = 1; i < VKDLM_SOLVER_COUNT; i++)
            out.push_back(vkdlm_solver_name(static_cast<vkdlm_solver>(i)));
        out.push_back("base alone");
        return out;
    }();
    return causal ? solvers : samplers;
}

const char *given_name(live_settings::given kind)
{
    switch (kind) {
    case live_settings::given::prompt:
        return "Prompt";
    case live_settings::given::masks:
        return "Template";
    case live_settings::given::ids:
        return "Ids";
    }
    return "";
}

void copy_settings(const live_settings &from, live_settings &to)
{
    to = from;
    if (to.causal.flow.temperature)
        to.causal.flow.temperature = to.temperature;
}

run_form write_form(const live_settings &s, bool causal)
{
    run_form f;
    f.causal = causal;
    f.kind = s.kind;
    f.text = s.text;
    f.length = count_text(s.length);
    if (causal) {
        const vkdlm_complete_options &o = s.causal;
        f.seed = std::to_string(o.seed);
        f.method =
            o.flow.off ? static_cast<int>(method_names(true).size()) - 1 : static_cast<int>(o.flow.solver);
        f.steps = count_text(o.flow.steps);
        f.temperature = o.greedy ? "0" : number_text(o.temperature);
        f.top_k = count_text(o.top_k);
        f.top_p = number_text(o.top_p);
    } else {
        const vkdlm_generate_options &o = s.masked;
        f.seed = std::to_string(o.seed);
        f.method = static_cast<int>(o.sampler);
        f.steps = count_text(o.steps);
        f.temperature = number_text(o.temperature);
        f.top_k = count_text(o.top_k);
        f.top_p = number_text(o.top_p);
    }
    return f;
}

bool read_form(const run_form &f, live_settings &settings, std::string &error)
{
    live_settings s;
    copy_settings(settings, s);
    uint64_t seed = 0;
    uint32_t steps = 0, top_k = 0;
    double temperature = 0, top_p = 0;
    if (!read_seed(f.seed, seed)) {
        error = "the seed takes a whole number below 2^64, not '" + f.seed + "'";
        return false;
    }
    if (!read_count("steps", f.steps, true, steps, error) ||
        !read_count(f.causal ? "new tokens" : "length", f.length, true, s.length, error) ||
        !read_number("temperature", f.temperature, temperature, error) ||
        !read_count("top-k", f.top_k, false, top_k, error) || !read_number("top-p", f.top_p, top_p, error))
        return false;
    const bool cold = !f.temperature.empty() && temperature == 0;
    if (cold && !f.causal) {
        error = "temperature takes a number above 0, not '" + f.temperature + "'";
        return false;
    }
    s.kind = f.kind;
    s.text = f.text;
    if (f.causal) {
        vkdlm_complete_options &o = s.causal;
        const int last = static_cast<int>(method_names(true).size()) - 1;
        o.seed = seed;
        o.flow.off = f.method == last;
        o.flow.solver = f.method == last ? VKDLM_SOLVER_DEFAULT : static_cast<vkdlm_solver>(f.method);
        o.flow.steps = steps;
        o.greedy = cold;
        o.temperature = temperature;
        o.top_k = top_k;
        o.top_p = top_p;
        o.max_tokens = s.length;
    } else {
        vkdlm_generate_options &o = s.masked;
        o.seed = seed;
        o.sampler = static_cast<vkdlm_sampler>(f.method);
        o.steps = steps;
        o.temperature = temperature;
        o.top_k = top_k;
        o.top_p = top_p;
    }
    copy_settings(s, settings);
    return true;
}

void take_next_seed(run_form &form)
{
    uint64_t seed = 0;
    form.seed = read_seed(form.seed, seed) ? std::to_string(seed + 1) : "0";
}

void take_next_method(run_form &form)
{
    form.method = (form.method + 1) % static_cast<int>(method_names(form.causal).size());
}

void take_next_given(run_form &form)
{
    using given = live_settings::given;
    const given next[] = {form.causal ? given::ids : given::masks, given::ids, given::prompt};
    form.kind = next[static_cast<int>(form.kind)];
}

uint32_t expected_steps(const live_settings &s, bool causal, uint32_t n_masked)
{
    if (causal)
        return s.causal.max_tokens ? s.causal.max_tokens : 128;
    const vkdlm_generate_options &o = s.masked;
    if (o.stride)
        return 0;
    if (o.sampler == VKDLM_SAMPLER_FIRST_HITTING)
        return n_masked;
    uint32_t n = o.steps ? o.steps : 64;
    if (!o.no_final_denoise && n < UINT32_MAX)
        n++;
    /* It evaluates only where a position is unmasked. */
    return o.sampler == VKDLM_SAMPLER_DDPM_CACHE && n_masked ? std::min(n, n_masked) : n;
}

} // namespace viewer
