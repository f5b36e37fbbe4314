/* SPDX-License-Identifier: MIT
 * Texts compiled into the program, NUL-terminated; declared in embedded.h. */
#define EMBED(name, file) \
    .global name;         \
    name:                 \
    .incbin file;         \
    .byte 0

    .section .rodata
EMBED(embedded_schema, "schema.sql")
EMBED(embedded_schema_2, "schema_2.sql")
EMBED(embedded_schema_3, "schema_3.sql")
EMBED(embedded_schema_4, "schema_4.sql")
EMBED(embedded_schema_5, "schema_5.sql")
EMBED(embedded_template, "TEMPLATE.md")
EMBED(embedded_page, "page.html")
    .section .note.GNU-stack, "", %progbits
