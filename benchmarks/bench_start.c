/* What the start of a program costs, up to its first finished evaluation:
 *   bench_start MODEL [--l2d PATH] [--device SELECT] [--rounds 9] [--cold 3]
 * Every start is a process of its own. Cold starts have empty caches, the driver's and ours; warm starts find
 * what a cold one left. Rounds take turns with a program that only makes a Vulkan instance and a device,
 * whose time no program on this driver can save. Masked models evaluate a canvas of half as many masks as
 * tokens, causal models a prompt of 32 tokens. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <vkdlm/vkdlm.h>
#include <volk.h>

#include "bench.h"
#include "gpu/gpu.h"

enum { PROMPT_TOKENS = 32 };

enum phase { PROCESS, DEVICE, MODEL, SESSION, FIRST, IN_ALL, DRIVER, BEYOND, CPU, SECOND, N_PHASES };

static const char *const phase_names[N_PHASES] = {
    [PROCESS] = "process and libraries",    [DEVICE] = "opening the device",
    [MODEL] = "loading the model",          [SESSION] = "creating the session",
    [FIRST] = "first evaluation",           [IN_ALL] = "in all",
    [DRIVER] = "instance and device alone", [BEYOND] = "in all, beyond those",
    [CPU] = "in all, processor time",       [SECOND] = "second evaluation",
};

/* ---- in the started process ------------------------------------------------------------------------- */

static bool stop(void *user, const vkdlm_step *step)
{
    (void)user;
    (void)step;
    return false;
}

static double evaluate_masked(vkdlm_session *session, const vkdlm_model_info *info)
{
    vkdlm_error err;
    vkdlm_generate_stats stats;
    int32_t *tokens = calloc(info->length, sizeof *tokens);
    if (!tokens)
        abort();
    for (uint32_t i = 0; i < info->length; i++)
        tokens[i] = i % 2 ? info->mask_id : (int32_t)(i * 7919u % (info->vocab_size - 1));
    const vkdlm_canvas canvas = {tokens, info->length};
    const vkdlm_generate_options options = {.canvases = &canvas, .n_canvases = 1, .on_step = stop};
    vkdlm_status status = vkdlm_generate(session, &options, &stats, &err);
    if (status && status != VKDLM_CANCELLED)
        bench_die(&err);
    free(tokens);
    return stats.first_evaluation_seconds;
}

static double evaluate_causal(vkdlm_session *session, const vkdlm_model_info *info)
{
    vkdlm_error err;
    vkdlm_complete_stats stats;
    int32_t tokens[PROMPT_TOKENS];
    for (uint32_t i = 0; i < PROMPT_TOKENS; i++)
        tokens[i] = (int32_t)(i * 7919u % info->vocab_size);
    const vkdlm_canvas prompt = {tokens, PROMPT_TOKENS};
    const vkdlm_complete_options options = {.prompts = &prompt, .n_prompts = 1, .max_tokens = 1};
    if (vkdlm_complete(session, &options, &stats, &err))
        bench_die(&err);
    return stats.seconds;
}

static double cpu_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Seconds since *since, which becomes now. */
static double lap(double *since)
{
    double now = bench_clock(), seconds = now - *since;
    *since = now;
    return seconds;
}

/* Empty strings stand for options that were not given. */
static void start_engine(double begun, const char *path, const char *l2d, const char *select,
                         double seconds[N_PHASES])
{
    vkdlm_error err;
    vkdlm_device *device;
    vkdlm_model *model;
    vkdlm_session *session;
    vkdlm_model_info info;
    double since = begun;
    const vkdlm_device_options device_options = {.select = *select ? select : NULL};
    const vkdlm_model_options model_options = {.l2d = *l2d ? l2d : NULL};
    seconds[PROCESS] = lap(&since);
    if (vkdlm_device_open(&device_options, &device, &err))
        bench_die(&err);
    seconds[DEVICE] = lap(&since);
    if (vkdlm_model_open(device, path, &model_options, &model, &err))
        bench_die(&err);
    seconds[MODEL] = lap(&since);
    if (vkdlm_session_create(model, &session, &err))
        bench_die(&err);
    seconds[SESSION] = lap(&since);
    vkdlm_model_get_info(model, &info);
    bool masked = info.family == VKDLM_FAMILY_MASKED;
    seconds[FIRST] = masked ? evaluate_masked(session, &info) : evaluate_causal(session, &info);
    seconds[IN_ALL] = bench_clock() - begun;
    seconds[CPU] = cpu_clock();
    seconds[SECOND] = masked ? evaluate_masked(session, &info) : evaluate_causal(session, &info);
    vkdlm_session_destroy(session);
    vkdlm_model_close(model);
    vkdlm_device_close(device);
}

/* What every Vulkan program does first. */
static void start_driver(const char *device_name, double seconds[N_PHASES])
{
    double since = bench_clock();
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                   .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo instance_info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                                .pApplicationInfo = &app};
    VkInstance instance;
    VkPhysicalDevice devices[16];
    uint32_t n = sizeof devices / sizeof *devices;
    if (volkInitialize() != VK_SUCCESS || vkCreateInstance(&instance_info, NULL, &instance) != VK_SUCCESS)
        exit(1);
    volkLoadInstance(instance);
    if (vkEnumeratePhysicalDevices(instance, &n, devices) < 0)
        exit(1);
    for (uint32_t i = 0; i < n; i++) {
        VkPhysicalDeviceProperties properties;
        vkGetPhysicalDeviceProperties(devices[i], &properties);
        if (strcmp(properties.deviceName, device_name) != 0)
            continue;
        const float priority = 1;
        const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                               .queueCount = 1,
                                               .pQueuePriorities = &priority};
        const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                         .queueCreateInfoCount = 1,
                                         .pQueueCreateInfos = &queue};
        VkDevice device;
        if (vkCreateDevice(devices[i], &info, NULL, &device) != VK_SUCCESS)
            exit(1);
        seconds[DRIVER] = lap(&since);
        vkDestroyDevice(device, NULL);
        break;
    }
    vkDestroyInstance(instance, NULL);
}

/* ---- in the program that starts them ---------------------------------------------------------------- */

/* Runs this program again with these arguments (and when that was, after the second) and reads its times. */
static void run_start(const char *kind, const char *first, const char *second, const char *third,
                      double seconds[N_PHASES])
{
    int ends[2];
    char begun[40];
    if (pipe(ends) != 0)
        abort();
    snprintf(begun, sizeof begun, "%.9f", bench_clock());
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "bench_start", kind, begun, first, second, third, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    size_t used = 0, size = N_PHASES * sizeof *seconds;
    for (ssize_t n; used < size && (n = read(ends[0], (char *)seconds + used, size - used)) > 0;)
        used += (size_t)n;
    close(ends[0]);
    int status;
    if (waitpid(child, &status, 0) != child || status != 0 || used != size) {
        fprintf(stderr, "bench_start: a start failed\n");
        exit(1);
    }
}

static int run_child(char **argv)
{
    double seconds[N_PHASES] = {0};
    if (strcmp(argv[1], "--driver") == 0)
        start_driver(argv[3], seconds);
    else
        start_engine(strtod(argv[2], NULL), argv[3], argv[4], argv[5], seconds);
    return fwrite(seconds, sizeof *seconds, N_PHASES, stdout) == N_PHASES ? 0 : 1;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Points every cache that the drivers and we know to a new empty directory. */
static void empty_caches(char path[64])
{
    if (*path)
        remove_tree(path);
    strcpy(path, "/tmp/bench_start.XXXXXX");
    if (!mkdtemp(path))
        abort();
    static const char *const variables[] = {"XDG_CACHE_HOME", "MESA_SHADER_CACHE_DIR",
                                            "__GL_SHADER_DISK_CACHE_PATH"};
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        setenv(variables[i], path, 1);
}

typedef struct start_options {
    const char *model, *l2d, *select;
    unsigned n_rounds[2]; /* cold, warm */
} start_options;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One column of the table: medians, and the best. */
static void measure(const start_options *o, bool warm, const char *device_name, char caches[64],
                    double median[N_PHASES], double best[N_PHASES])
{
    unsigned n = o->n_rounds[warm];
    double *all = calloc((size_t)n * N_PHASES, sizeof *all);
    if (!all)
        abort();
    for (unsigned i = 0; i < n; i++) {
        double engine[N_PHASES], driver[N_PHASES];
        if (!warm)
            empty_caches(caches);
        run_start("--engine", o->model, o->l2d, o->select, engine);
        run_start("--driver", device_name, "", "", driver);
        engine[DRIVER] = driver[DRIVER];
        engine[BEYOND] = engine[IN_ALL] - driver[DRIVER];
        for (int p = 0; p < N_PHASES; p++)
            all[(size_t)p * n + i] = engine[p];
    }
    for (int p = 0; p < N_PHASES; p++) {
        qsort(all + (size_t)p * n, n, sizeof *all, ascending);
        median[p] = all[(size_t)p * n + n / 2];
        best[p] = all[(size_t)p * n];
    }
    free(all);
}

int main(int argc, char **argv)
{
    if (argc == 6 && (strcmp(argv[1], "--engine") == 0 || strcmp(argv[1], "--driver") == 0))
        return run_child(argv);
    start_options o = {.l2d = "", .select = "", .n_rounds = {3, 9}};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--l2d") == 0)
            o.l2d = argv[i + 1];
        else if (strcmp(argv[i], "--device") == 0)
            o.select = argv[i + 1];
        else if (strcmp(argv[i], "--cold") == 0)
            o.n_rounds[0] = (unsigned)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--rounds") == 0)
            o.n_rounds[1] = (unsigned)strtoul(argv[i + 1], NULL, 10);
    }
    if (argc < 2 || o.n_rounds[0] == 0 || o.n_rounds[1] == 0) {
        fprintf(stderr, "usage: bench_start MODEL [--l2d PATH] [--device SELECT] [--rounds N] [--cold N]\n");
        return 2;
    }
    o.model = argv[1];
    vkdlm_error err;
    gpu_caps *caps;
    uint32_t n, index;
    if (gpu_enumerate(&caps, &n, &err) || gpu_choose(caps, n, *o.select ? o.select : NULL, &index, &err))
        bench_die(&err);
    char caches[64] = "";
    double median[2][N_PHASES], best[2][N_PHASES];
    for (int warm = 0; warm < 2; warm++)
        measure(&o, warm, caps[index].name, caches, median[warm], best[warm]);
    remove_tree(caches);
    printf("device: %s, %s\nmilliseconds: median and best of %u cold and %u warm starts\n", caps[index].name,
           caps[index].driver, o.n_rounds[0], o.n_rounds[1]);
    printf("%-28s %10s %10s %10s %10s\n", "", "cold", "(best)", "warm", "(best)");
    for (int p = 0; p < N_PHASES; p++)
        printf("%-28s %10.1f %10.1f %10.1f %10.1f\n", phase_names[p], 1e3 * median[0][p], 1e3 * best[0][p],
               1e3 * median[1][p], 1e3 * best[1][p]);
    free(caps);
    return 0;
}
