/* SPDX-License-Identifier: MIT
 * The program: a table of subcommands that also prints the help. */
#include <argp.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "text.h"
#include "version.h"

static int command_help(int argc, char **argv);

int command_fail(const struct err *e)
{
    fprintf(stderr, "bench: %s\n", e->text);
    return e->code == ERR_USAGE ? EXIT_WRONG : EXIT_BROKEN;
}

static const struct {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "run a suite: measure, judge its claims, write report and record", command_run},
    {"report", "write the HTML report of a run again", command_report},
    {"record", "fill the experiment record of a run again, keeping its notes", command_record},
    {"list", "the runs of a database", command_list},
    {"show", "a run on the terminal, or whole as JSON", command_show},
    {"inspect", "look inside generation: tokens, shapes, candidates, KV cache, step by step", command_inspect},
    {"generate", "go on from a prompt: text as it comes", command_generate},
    {"model", "what a model is; or write a preset out as files", command_model},
    {"roofs", "the machine's ceilings: caches, memory, arithmetic; or beside another tool", command_roofs},
    {"calibrate", "hold this machine's counters against work of known amount", command_calibrate},
    {"doctor", "what this machine lets a profiler see, and the remedies", command_doctor},
    {"help", "this text, or help COMMAND", command_help},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static int run_command(size_t i, int argc, char **argv)
{
    char name[64];

    snprintf(name, sizeof name, "bench %s", commands[i].name);
    argv[0] = name;
    return commands[i].run(argc, argv);
}

static void print_commands(FILE *out)
{
    fputs("usage: bench COMMAND [OPTION...]\n\n"
          "Profiles LLM inference: why is this step slow, and what would make it fast?\n\n",
          out);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
    fputs("\nStart with `bench run suites/kvcache_on_off`. `bench COMMAND --help` explains a command.\n"
          "Exit code: 0 done and claims held, 1 failed, 2 wrong usage, 3 claims did not hold.\n",
          out);
}

static int find(const char *word, size_t *at)
{
    const char *names[COMMANDS];

    for (size_t i = 0; i < COMMANDS; i++) {
        names[i] = commands[i].name;
        if (strcmp(word, names[i]) == 0) {
            *at = i;
            return 0;
        }
    }
    const char *near = text_nearest(word, names, COMMANDS);
    fprintf(stderr, "bench: '%s' is not a command%s%s%s; `bench help` lists them\n", word, near ? "; did you mean '" : "",
            near ? near : "", near ? "'?" : "");
    return EXIT_WRONG;
}

static int command_help(int argc, char **argv)
{
    char help[] = "--help";
    char *args[] = {argv[0], help, NULL};
    size_t at;

    if (argc < 2 || strcmp(argv[1], "help") == 0) {
        print_commands(stdout);
        return EXIT_HELD;
    }
    int code = find(argv[1], &at);
    return code ? code : run_command(at, 2, args);
}

int main(int argc, char **argv)
{
    size_t at;

    setlocale(LC_CTYPE, "");
    argp_err_exit_status = EXIT_WRONG;
    if (argc < 2) {
        print_commands(stderr);
        return EXIT_WRONG;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return command_help(1, argv);
    if (strcmp(argv[1], "--version") == 0) {
        printf("bench %s (%s)\n", bench_version(), bench_compiler());
        return EXIT_HELD;
    }
    int code = find(argv[1], &at);
    return code ? code : run_command(at, argc - 1, argv + 1);
}
