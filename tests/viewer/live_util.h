/* What tests of runs that the viewer makes share: models that stay open, waiting, and comparing. */
#ifndef TESTS_VIEWER_LIVE_UTIL_H
#define TESTS_VIEWER_LIVE_UTIL_H

#include <cstring>
#include <functional>
#include <string>

#include "check.h"
#include "live/live.h"

enum { LENGTH = 24, MASK = 210, STEPS = 10 };

extern const char *const masked_model, *const flow_model;

/* Runs the tests with a folder for their files. Returns what main does. */
int run_live_tests(const CMUnitTest *tests, size_t n);

/* A file in that folder. */
std::string path_of(const char *name);
/* Drivers that compile anew in every process see less. */
bool is_quick();

/* One model of each kind stays open for all tests. */
viewer::live_run &masked_run();
viewer::live_run &flow_run();

viewer::live_settings masked_settings(vkdlm_sampler sampler = VKDLM_SAMPLER_DDPM_CACHE,
                                      uint32_t steps = STEPS);
viewer::live_settings flow_settings(uint32_t length);

/* Each fails the test when it waited in vain. */
void wait_for(viewer::live_run &r, const char *what, const std::function<bool()> &come);
void wait_for_phase(viewer::live_run &r, viewer::live_phase phase);
void wait_for_steps(viewer::live_run &r, uint32_t n);
void run_whole(viewer::live_run &r, const viewer::live_settings &s);

/* Steps, or new tokens. */
uint32_t n_steps(const viewer::live_run &r);
std::vector<int32_t> tokens_at(const viewer::run &r, uint32_t step);
std::vector<int32_t> flow_tokens(const viewer::run &r);

template <typename T> bool same(const T *a, const T *b, size_t n)
{
    return !a == !b && (!a || !n || !memcmp(a, b, n * sizeof *a));
}

/* Every field but, where times are of different runs, those. */
void check_same_steps(const viewer::run &a, const viewer::run &b, uint32_t from, uint32_t to, bool times);
void check_same_run(const viewer::run &a, const viewer::run &b, bool times);
/* What is saved is what is there. */
void check_saved(const viewer::live_run &r);
/* Whether where they were gone on with is the same. */
void check_same_resumptions(const viewer::run &a, const viewer::run &b);

std::unique_ptr<viewer::run> open_recording(const std::string &path);
/* What the command line records. */
std::unique_ptr<viewer::run> record(const char *model, const std::string &options);
/* A recording of a run by a model that is open, which is as the command line's. */
std::string save_run(viewer::live_run &r, const viewer::live_settings &s);

#endif
