/* SPDX-License-Identifier: MIT */
#include "outputs.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "html.h"
#include "record.h"

enum { PATH_BYTES = 1024 };

int outputs_make_folder(const char *path, struct err *e)
{
    char copy[PATH_BYTES];

    if (strlen(path) >= sizeof copy)
        return err_set(e, ERR_USAGE, "%.40s...: the path is too long", path);
    strcpy(copy, path);
    const char *folder = dirname(copy);
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return err_set(e, ERR_IO, "%s: cannot make the folder: %s", folder, strerror(errno));
    return 0;
}

/* The record's default name with another ending. */
static void default_report(char *buf, size_t size, const char *record)
{
    size_t stem = strlen(record);

    if (stem > 3 && strcmp(record + stem - 3, ".md") == 0)
        stem -= 3;
    snprintf(buf, size, "%.*s.html", (int)stem, record);
}

int outputs_write(const json_t *document, const struct output_paths *paths, bool report, bool record, struct err *e)
{
    char record_path[PATH_BYTES], report_path[PATH_BYTES];
    int code = 0;

    record_default_path(document, OUTPUT_DIR, record_path, sizeof record_path);
    default_report(report_path, sizeof report_path, record_path);
    const char *to_record = paths->record ? paths->record : record_path;
    const char *to_report = paths->report ? paths->report : report_path;
    if (report)
        code = outputs_make_folder(to_report, e);
    if (code == 0 && report)
        code = html_write(document, to_report, e);
    if (code == 0 && record)
        code = outputs_make_folder(to_record, e);
    if (code == 0 && record)
        code = record_write(document, NULL, to_record, e);
    if (code < 0)
        return code;
    printf("\nrun      %lld\ndatabase %s\n", json_integer_value(json_object_get(json_object_get(document, "run"), "id")),
           paths->db);
    if (report)
        printf("report   %s\n", to_report);
    if (record)
        printf("record   %s\n", to_record);
    return 0;
}
