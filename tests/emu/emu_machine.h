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
    long given;       /* kernels, copies and sets that streams were given so far, a graph's at each of its launches */
    long failing;     /* of these the one that is refused, counted from 1; 0: none */
};
extern struct emu_machine emu_machine;

#ifdef __cplusplus
}
#endif

#endif
