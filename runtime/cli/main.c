/* vkdlm COMMAND [options]: finds the command, reads its options, runs it. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "message.h"
#include "report.h"
#include "signals.h"

static const command *const commands[] = {
    &command_devices,  &command_info,     &command_generate, &command_score, &command_forward,
    &command_tokenize, &command_quantize, &command_bench,    &command_view,  &command_trajectory,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* A standard stream that is closed would be taken by the first file opened, which would then receive our
 * output. */
static void keep_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
            return;
}

/* Ends standard output; returns the exit status, which a failed write turns into a failure. */
static int finish(int code, vkdlm_status status, vkdlm_error *err)
{
    if (!status)
        status = report_flush(err);
    return status ? message_error(err) : code;
}

static int print_usage(void)
{
    vkdlm_error err = {0};
    vkdlm_status status = report_line(&err, "Usage: vkdlm COMMAND [options]\n\n"
                                            "Diffusion language models on any Vulkan device.\n");
    for (size_t i = 0; i < N_COMMANDS && !status; i++)
        status = report_line(&err, "  %-10s %s%s", commands[i]->name, commands[i]->summary,
                             commands[i]->absent ? " [not part of this version]" : "");
    if (!status)
        status = report_line(
            &err, "\n'vkdlm COMMAND --help' lists the options of a command, 'vkdlm --version' tells "
                  "the version.");
    return finish(CLI_OK, status, &err);
}

static int print_version(void)
{
    vkdlm_error err = {0};
    return finish(CLI_OK, report_line(&err, "vkdlm %s", vkdlm_version()), &err);
}

static int print_help(const command *cmd)
{
    vkdlm_error err = {0};
    char *help = options_help(cmd);
    vkdlm_status status =
        help ? report_text(help, strlen(help), &err)
             : message_set(&err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the help text");
    free(help);
    return finish(CLI_OK, status, &err);
}

static const command *find_command(const char *name, vkdlm_error *err)
{
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (!strcmp(commands[i]->name, name))
            return commands[i];
        names[i] = commands[i]->name;
    }
    const char *nearest = options_nearest(name, names, N_COMMANDS);
    message_set(err, VKDLM_INVALID_ARGUMENT, "there is no command '%.100s'%s%s%s", name,
                nearest ? "; did you mean '" : "; 'vkdlm --help' lists them", nearest ? nearest : "",
                nearest ? "'?" : "");
    return NULL;
}

static int run_command(const command *cmd, int argc, const char *const *argv)
{
    vkdlm_error err = {0};
    if (cmd->absent) {
        message_set(&err, VKDLM_UNSUPPORTED, "%s", cmd->absent);
        return message_error(&err);
    }
    void *values = calloc(1, cmd->values_size);
    if (!values) {
        message_set(&err, VKDLM_OUT_OF_HOST_MEMORY, "not enough memory for the options");
        return message_error(&err);
    }
    option_parse parse;
    int code = CLI_OK;
    switch (options_parse(cmd, argc, argv, values, &parse, &err)) {
    case PARSE_RUN:
        code = cmd->run(cmd, values, &parse);
        if (report_flush(&err) && code == CLI_OK)
            code = message_error(&err);
        break;
    case PARSE_HELP:
        code = print_help(cmd);
        break;
    case PARSE_VERSION:
        code = print_version();
        break;
    case PARSE_ERROR:
        code = message_error(&err);
        break;
    }
    free(values);
    return code;
}

int main(int argc, char **argv)
{
    vkdlm_error err = {0};
    keep_standard_streams();
    signals_ignore_pipe();
    if (argc < 2) {
        message_set(&err, VKDLM_INVALID_ARGUMENT, "a command is missing; 'vkdlm --help' lists them");
        return message_error(&err);
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
        return print_usage();
    if (!strcmp(argv[1], "--version"))
        return print_version();
    const command *cmd = find_command(argv[1], &err);
    return cmd ? run_command(cmd, argc - 2, (const char *const *)argv + 2) : message_error(&err);
}
