/* SPDX-License-Identifier: MIT
 * The emulated machine, as a test wants it. A test sets it before the call that it is about, and puts it back. */
#ifndef BENCH_EMU_MACHINE_H
#define BENCH_EMU_MACHINE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct emu_machine {
    int driver;       /* CUDA version that the driver supports, 13000; 0: there is no driver */
    int devices;      /* all alike */
    int major, minor; /* compute capability */
    size_t memory;    /* bytes of each device */
    bool apart;       /* memory of the device is work's alone: the host's access is a fault, as it is with a real one */
    bool idle;        /* work is checked and then not done: for sizes that no CPU computes in a test's time */
    long given;       /* kernels, copies and sets that streams were given so far, a graph's at each of its launches */
    long failing;     /* of these the one that is refused, counted from 1; 0: none */
    int trouble;      /* what every call that needs the driver answers, a cudaError_t; 0: it works */
    void (*asked)(const void *at); /* told of each line that a kernel asks L2 for; NULL: nobody is */
};
extern struct emu_machine emu_machine;

#ifdef __cplusplus
}
#endif

#endif
