/* SPDX-License-Identifier: MIT
 * The database as a file: whose is it, is it whole, may it be written, is its schema ours. What SQLite says is turned into one
 * sentence in one place (store_error): the path, what is wrong, what to do.
 *
 * synchronous=NORMAL in WAL mode: a commit survives the death of the process at any instant; a power cut may lose the last
 * commits but never damages the file. That is worth the fsync per repetition it saves, on a disk that the machine may share. */
#include "store_file.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embedded.h"
#include "text.h"

enum { APPLICATION_ID = 0x62656e63, BUSY_MS = 10000 }; /* "benc" */

/* Migration i takes a file from user_version i to i + 1. */
static const char *const migrations[] = {embedded_schema, embedded_schema_2, embedded_schema_3, embedded_schema_4,
                                         embedded_schema_5};
enum { VERSION = sizeof migrations / sizeof *migrations };

struct sqlite3 *store_handle(struct store *s)
{
    return s->db;
}

/* --- errors -------------------------------------------------------------------------------------------------------- */

int store_error(struct store *s, struct err *e)
{
    int code = sqlite3_extended_errcode(s->db), sys = sqlite3_system_errno(s->db);

    switch (code) {
    case SQLITE_FULL:
        return err_set(e, ERR_IO,
                       "%s: the disk is full; what was committed is kept: free some space, or name another place with --db",
                       s->path);
    case SQLITE_IOERR_WRITE: /* SQLite has not kept errno */
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_TRUNCATE:
    case SQLITE_IOERR_SHMSIZE:
        return err_set(
            e, ERR_IO,
            "%s: writing failed: the disk is full, over a quota or limit, or broken; what was committed is kept: free "
            "some space, or name another place with --db",
            s->path);
    }
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return err_set(e, ERR_FORMAT, "%s: not a bench database (not an SQLite file): name another with --db", s->path);
    case SQLITE_CORRUPT:
        return err_set(e, ERR_FORMAT,
                       "%s: the database is damaged or cut short: move it aside (`sqlite3 FILE .recover` may save its rows)",
                       s->path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return err_set(e, ERR_IO, "%s: cannot be written, the file or its folder is read-only: name another place with --db",
                       s->path);
    case SQLITE_CANTOPEN:
        return err_set(e, ERR_IO, "%s: cannot be opened (%s): check the path and its permissions, or name another with --db",
                       s->path, sys ? strerror(sys) : sqlite3_errmsg(s->db));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, ERR_IO, "%s: another process keeps it locked: wait for it to end, or name another place with --db",
                       s->path);
    case SQLITE_NOMEM:
        return err_set(e, ERR_MEMORY, "%s: out of memory", s->path);
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
        return err_set(e, ERR_FORMAT, "%s: the database refuses this row: %s", s->path, sqlite3_errmsg(s->db));
    default:
        return err_set(e, ERR_IO, "%s: %s%s%s", s->path, sqlite3_errmsg(s->db), sys ? ": " : "", sys ? strerror(sys) : "");
    }
}

static int not_ours(const struct store *s, struct err *e, const char *why)
{
    return err_set(e, ERR_FORMAT, "%s: not a bench database (%s): name another with --db", s->path, why);
}

/* --- open ---------------------------------------------------------------------------------------------------------- */

static int execute(struct store *s, const char *sql, struct err *e)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_error(s, e);
}

struct identity {
    int application_id, version, tables;
};

static int identify(struct store *s, struct identity *out, struct err *e)
{
    static const char sql[] = "SELECT (SELECT application_id FROM pragma_application_id), "
                              "(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)";
    sqlite3_stmt *st = NULL;
    int code = 0;

    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW) {
        code = store_error(s, e);
        goto out;
    }
    *out = (struct identity){sqlite3_column_int(st, 0), sqlite3_column_int(st, 1), sqlite3_column_int(st, 2)};
out:
    sqlite3_finalize(st);
    return code;
}

/* Ours, or an empty file that may become ours; nothing has been written when this refuses. */
static int check_identity(struct store *s, bool readonly, struct err *e)
{
    struct identity id = {0};
    int code = identify(s, &id, e);

    if (code < 0)
        return code;
    if (id.application_id == APPLICATION_ID && id.version > VERSION)
        return err_set(e, ERR_FORMAT, "%s: written by a newer bench (schema %d, this one knows %d): update bench", s->path,
                       id.version, VERSION);
    if (id.application_id == APPLICATION_ID)
        return readonly && id.version < VERSION ? err_set(e, ERR_FORMAT,
                                                          "%s: written by an older bench (schema %d, this one reads %d): any "
                                                          "`bench run` with this --db brings it up to date",
                                                          s->path, id.version, VERSION)
                                                : 0;
    if (id.application_id || id.version || id.tables)
        return not_ours(s, e, "an SQLite file of another program");
    return readonly ? not_ours(s, e, "it is empty") : 0;
}

/* A table that others refer to may have been made anew: every row must still refer to one that is there. */
static int check_references(struct store *s, struct err *e)
{
    static const char sql[] = "SELECT \"table\" FROM pragma_foreign_key_check";
    sqlite3_stmt *st = NULL;
    int code = 0, got = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    if (got == SQLITE_OK)
        got = sqlite3_step(st);
    if (got == SQLITE_ROW)
        code = err_set(e, ERR_FORMAT,
                       "%s: cannot be brought up to date: rows of '%s' belong to rows that are not there: it was changed by "
                       "hand; name another with --db",
                       s->path, (const char *)sqlite3_column_text(st, 0));
    else if (got != SQLITE_DONE)
        code = store_error(s, e);
    sqlite3_finalize(st);
    return code;
}

/* All of them in one transaction, with foreign keys off (a migration may replace a table that others refer to; inside a
 * transaction they cannot be switched). Re-reads the version inside it: two programs may be creating the same file. */
static int migrate(struct store *s, struct err *e)
{
    struct identity id = {0};
    char pragma[80];
    int code = store_begin(s, e);

    if (code < 0)
        return code;
    code = identify(s, &id, e);
    for (int v = id.version; code == 0 && v < VERSION; v++)
        code = execute(s, migrations[v], e);
    if (code == 0 && id.version < VERSION)
        code = check_references(s, e);
    snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID, VERSION);
    if (code == 0 && (id.application_id != APPLICATION_ID || id.version != VERSION))
        code = execute(s, pragma, e);
    if (code == 0)
        return store_commit(s, e);
    store_rollback(s);
    return code;
}

static int connect_file(struct store *s, const char *name, int flags, struct err *e)
{
    sqlite3_close(s->db);
    s->db = NULL;
    if (sqlite3_open_v2(name, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return s->db ? store_error(s, e) : err_set(e, ERR_MEMORY, "%s: out of memory", s->path);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    return 0;
}

/* A WAL database in a folder that we may not write to cannot be opened the usual way (its index file cannot be made). When no
 * log waits beside it, it may be read as the unchanging file that it is for us. */
static int connect_immutable(struct store *s, struct err *e)
{
    struct text wal = {0}, uri = {0};
    int code;

    text_printf(&wal, "%s-wal", s->path);
    text_puts(&uri, "file:");
    for (const char *p = s->path; *p; p++)
        text_printf(&uri, strchr("%?#", *p) ? "%%%02X" : "%c", *p);
    text_puts(&uri, "?immutable=1");
    if (access(wal.data, F_OK) == 0)
        code =
            err_set(e, ERR_IO,
                    "%s: its folder is read-only and a log (-wal) waits beside it: copy both to a folder of your own", s->path);
    else
        code = connect_file(s, uri.data, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, e);
    text_free(&wal);
    text_free(&uri);
    return code;
}

/* What stat can say better than SQLite. */
static int check_path(const char *path, bool readonly, struct err *e)
{
    struct stat st;
    const char *slash = strrchr(path, '/');
    struct text folder = {0};
    int code = 0;

    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? err_set(e, ERR_IO, "%s: is a folder: name a file in it with --db", path) : 0;
    if (readonly && errno == ENOENT)
        return err_set(e, ERR_IO, "%s: no such database: `bench run` makes one; name another with --db", path);
    text_add(&folder, path, slash ? (size_t)(slash - path) + 1 : 0);
    text_puts(&folder, "."); /* "a/b/.", "/.", "." */
    if (access(folder.data, W_OK | X_OK) < 0)
        code =
            err_set(e, ERR_IO, "%s: its folder: %s: make it writable, or name another place with --db", path, strerror(errno));
    text_free(&folder);
    return code;
}

static int open_writable(struct store *s, struct err *e)
{
    int code = connect_file(s, s->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e);

    if (code == 0)
        code = check_identity(s, false, e);
    /* Where WAL cannot be had (some network file systems) SQLite keeps its rollback journal, which is as safe and slower. */
    if (code == 0)
        code = execute(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF", e);
    if (code == 0)
        code = migrate(s, e);
    return code == 0 ? execute(s, "PRAGMA foreign_keys = ON", e) : code;
}

static int open_readonly(struct store *s, struct err *e)
{
    int code = connect_file(s, s->path, SQLITE_OPEN_READONLY, e);

    if (code == 0)
        code = check_identity(s, true, e);
    int sqlite = s->db ? sqlite3_errcode(s->db) & 0xff : SQLITE_OK;
    if (code < 0 && (sqlite == SQLITE_CANTOPEN || sqlite == SQLITE_READONLY) && access(s->path, R_OK) == 0) {
        code = connect_immutable(s, e);
        if (code == 0)
            code = check_identity(s, true, e);
    }
    return code;
}

static int store_open_as(struct store **out, const char *path, bool readonly, struct err *e)
{
    struct store *s = NULL;
    int code = check_path(path, readonly, e);

    *out = NULL;
    if (code < 0)
        return code;
    s = calloc(1, sizeof *s);
    if (s)
        s->path = strdup(path);
    if (!s || !s->path)
        code = err_set(e, ERR_MEMORY, "%s: out of memory", path);
    else
        code = readonly ? open_readonly(s, e) : open_writable(s, e);
    if (code < 0) {
        store_close(s);
        return code;
    }
    *out = s;
    return 0;
}

int store_open(struct store **out, const char *path, struct err *e)
{
    return store_open_as(out, path, false, e);
}

int store_open_readonly(struct store **out, const char *path, struct err *e)
{
    return store_open_as(out, path, true, e);
}

void store_close(struct store *s)
{
    if (!s)
        return;
    for (int i = 0; i < STORE_STATEMENTS_MAX; i++)
        sqlite3_finalize(s->stmt[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}
