/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"

enum { REDRAW_NS = 200000000, BAR_CELLS = 16, LINE_MAX_BYTES = 512 };

void progress_open(struct progress *p, FILE *out)
{
    struct winsize size;

    *p = (struct progress){.out = out, .width = 100};
    p->terminal = out && isatty(fileno(out));
    if (p->terminal && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        p->width = size.ws_col;
}

/* One line, cut to the terminal's width. */
static void rewrite(struct progress *p, const char *line)
{
    fprintf(p->out, "\r\033[K%.*s", p->width - 1, line);
    fflush(p->out);
}

static void format_eta(char *buf, size_t size, double seconds)
{
    int s = (int)(seconds + 0.5);

    snprintf(buf, size, "%d:%02d", s / 60, s % 60);
}

void progress_show(struct progress *p, const struct progress_state *s)
{
    char line[LINE_MAX_BYTES], bar[BAR_CELLS + 1], eta[16];
    uint64_t now = clock_ns();

    if (!p->terminal || now - p->last_ns < REDRAW_NS)
        return;
    p->last_ns = now;
    int full = s->planned > 0 ? (int)((double)BAR_CELLS * s->done / s->planned) : 0;
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', (size_t)(full < BAR_CELLS ? full : BAR_CELLS));
    bar[BAR_CELLS] = 0;
    format_eta(eta, sizeof eta, s->eta_s);
    snprintf(line, sizeof line, "[%s] trial %d/%d  ETA %s  %s: %s  %s %d/%d  %.2f ms/step", bar, s->done + 1, s->planned, eta,
             s->pass, s->label, s->step == 0 ? "prefill" : "decode", s->step == 0 ? 1 : s->step,
             s->step == 0 ? 1 : s->steps - 1, s->ms);
    rewrite(p, line);
}

void progress_note(struct progress *p, const char *what)
{
    if (!p->out)
        return;
    if (p->terminal)
        rewrite(p, what);
    else
        fprintf(p->out, "%s\n", what);
}

void progress_tell(struct progress *p, const char *what)
{
    if (p->out)
        fprintf(p->out, "%s%s\n", p->terminal ? "\r\033[K" : "", what);
}

void progress_done(struct progress *p, const struct progress_state *s, double total_ms)
{
    char eta[16];

    if (!p->out || p->terminal)
        return;
    format_eta(eta, sizeof eta, s->eta_s);
    fprintf(p->out, "trial %d/%d  %s: %s  %.1f ms, %.2f ms/step  ETA %s\n", s->done, s->planned, s->pass, s->label, total_ms,
            s->ms, eta);
    fflush(p->out);
}

void progress_close(struct progress *p)
{
    if (p->out && p->terminal)
        rewrite(p, "");
}
