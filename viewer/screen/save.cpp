#include "screen/save.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "running.h"

extern char **environ;

namespace viewer
{
namespace
{

std::string temporary_name(const char *end)
{
    const char *folder = std::getenv("TMPDIR");
    return std::string(folder && *folder ? folder : "/tmp") + "/vkdlm-XXXXXX" + end;
}

/* A copy of the live run, as a file that only this user reads. "" with a sentence in error. */
std::string copy_run(scene &s, std::string &error)
{
    std::string path = temporary_name(".safetensors");
    const int file = mkstemps(path.data(), static_cast<int>(strlen(".safetensors")));
    if (file < 0) {
        error = "cannot create '" + path + "': " + strerror(errno);
        return "";
    }
    close(file);
    if (s.live->save(path, error))
        return path;
    unlink(path.c_str());
    return "";
}

int open_errors()
{
    std::string path = temporary_name("");
    const int file = mkostemp(path.data(), O_CLOEXEC);
    if (file >= 0)
        unlink(path.c_str());
    return file;
}

/* The last line that the program wrote, without its name. */
std::string last_line(int file)
{
    char text[2048];
    const ssize_t n = pread(file, text, sizeof text, 0);
    std::string out(text, static_cast<size_t>(n > 0 ? n : 0));
    while (!out.empty() && out.back() == '\n')
        out.pop_back();
    out = out.substr(out.find_last_of('\n') + 1);
    return out.compare(0, 7, "vkdlm: ") == 0 ? out.substr(7) : out;
}

std::vector<std::string> make_words(const scene &s, const options &o, save_kind kind, const std::string &path)
{
    static const char *const colours[n_quantities] = {"step", "probability", "entropy", "guess"};
    std::vector<std::string> words = {"vkdlm-view", kind == save_kind::gif ? "--gif" : "--frames", path};
    auto add = [&](const char *name, const std::string &value) {
        words.push_back(name);
        words.push_back(value);
    };
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    add("--size", std::to_string(static_cast<int>(size.x)) + "x" + std::to_string(static_cast<int>(size.y)));
    add("--scale", format_text("%.3f", static_cast<double>(s.unit)));
    add("--speed", format_text("%g", s.state.speed));
    add("--theme", s.state.dark ? "dark" : "light");
    add("--colour", colours[static_cast<int>(s.state.shown)]);
    if (!o.device.empty() && !s.live)
        add("--device", o.device);
    if (s.state.selected >= 0)
        add("--select", std::to_string(s.state.selected));
    if (s.state.guesses)
        words.push_back("--guesses");
    words.push_back("--");
    return words;
}

} // namespace

bool start_export(scene &s, const options &o, save_kind kind, const std::string &path,
                  std::vector<export_job> &jobs, std::string &error)
{
    export_job job = {0, -1, path, ""};
    std::vector<std::string> words = make_words(s, o, kind, path);
    if (s.live) {
        job.temporary = copy_run(s, error);
        if (job.temporary.empty())
            return false;
        words.push_back(job.temporary);
    } else {
        words.insert(words.end(), o.files.begin(), o.files.end());
    }
    std::vector<char *> pointers;
    for (std::string &word : words)
        pointers.push_back(word.data());
    pointers.push_back(nullptr);
    job.errors = open_errors();
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    if (job.errors >= 0)
        posix_spawn_file_actions_adddup2(&files, job.errors, STDERR_FILENO);
    const int failed = posix_spawn(&job.pid, "/proc/self/exe", &files, nullptr, pointers.data(), environ);
    posix_spawn_file_actions_destroy(&files);
    if (failed) {
        error = std::string("the program that draws pictures cannot be started: ") + strerror(failed);
        if (job.errors >= 0)
            close(job.errors);
        if (!job.temporary.empty())
            unlink(job.temporary.c_str());
        return false;
    }
    jobs.push_back(job);
    return true;
}

void poll_exports(scene &s, std::vector<export_job> &jobs, bool wait)
{
    for (size_t i = 0; i < jobs.size();) {
        export_job &job = jobs[i];
        int status = 0;
        if (waitpid(job.pid, &status, wait ? 0 : WNOHANG) == 0) {
            i++;
            continue;
        }
        const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        const std::string reason = job.errors >= 0 ? last_line(job.errors) : "";
        if (good)
            show_toast(s, job.path + " is written");
        else
            tell_problem(s, "The pictures could not be written",
                         reason.empty() ? "drawing '" + job.path + "' ended early" : reason, false);
        if (job.errors >= 0)
            close(job.errors);
        if (!job.temporary.empty())
            unlink(job.temporary.c_str());
        jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(i));
    }
}

} // namespace viewer
