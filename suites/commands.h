/* SPDX-License-Identifier: MIT
 * The subcommands of bench. Each gets its own argv (argv[0] = "bench run") and returns the program's exit code. They print;
 * nothing below them does. */
#ifndef BENCH_COMMANDS_H
#define BENCH_COMMANDS_H

#include "err.h"

enum exit_code {
    EXIT_HELD = 0,   /* done; a run's claims held */
    EXIT_BROKEN = 1, /* failed or interrupted: one sentence on stderr */
    EXIT_WRONG = 2,  /* usage */
    EXIT_REFUTED = 3 /* the run is complete, its claims did not hold */
};

int command_run(int argc, char **argv);
int command_report(int argc, char **argv);
int command_record(int argc, char **argv);
int command_list(int argc, char **argv);
int command_show(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_roofs(int argc, char **argv);
int command_calibrate(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_generate(int argc, char **argv);
int command_model(int argc, char **argv);

/* Prints "bench: <sentence>" and returns the exit code that fits the error. */
int command_fail(const struct err *e);

#endif
