/* SPDX-License-Identifier: MIT
 * The event files, compiled into the program, NUL-terminated: event_text_amd_zen4 and so on. */
#define EVENT_FILE(name, file)   \
    .global event_text_##name;   \
    event_text_##name:           \
    .incbin file;                \
    .byte 0;

    .section .rodata
#include "event_list.h"
    .section .note.GNU-stack, "", %progbits
