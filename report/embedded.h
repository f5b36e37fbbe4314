/* SPDX-License-Identifier: MIT
 * Texts compiled into the program by embedded.S, NUL-terminated. */
#ifndef BENCH_EMBEDDED_H
#define BENCH_EMBEDDED_H

extern const char embedded_schema[];   /* report/schema.sql: version 1 */
extern const char embedded_schema_2[]; /* report/schema_2.sql: version 1 to 2 */
extern const char embedded_schema_3[]; /* report/schema_3.sql: version 2 to 3 */
extern const char embedded_schema_4[]; /* report/schema_4.sql: version 3 to 4 */
extern const char embedded_schema_5[]; /* report/schema_5.sql: version 4 to 5 */
extern const char embedded_template[]; /* experiments/TEMPLATE.md */
extern const char embedded_page[];     /* report/html, bundled */

#endif
