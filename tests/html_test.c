/* SPDX-License-Identifier: MIT
 * The report file: the page with the run's document inside it, whatever the document says. How it looks is tested in a
 * browser (tests/browser). */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document_room.h"
#include "html.h"
#include "text.h"

static const char opening[] = "<script type=\"application/json\" id=\"document\">";

/* Writes the report and cuts the data out of it: from its opening tag to the next '<', which must be its closing tag. */
static struct text data_of_report(struct fixture *f)
{
    struct text page = {0}, data = {0};

    if (html_write(f->document, f->path, &f->err) < 0)
        fail_msg("%s", f->err.text);
    assert_int_equal(text_read_file(&page, f->path, 16 << 20, NULL), 0);
    char *from = strstr(page.data, opening);
    assert_non_null(from);
    from += strlen(opening);
    char *to = strchr(from, '<');
    assert_non_null(to);
    assert_int_equal(strncmp(to, "</script>", strlen("</script>")), 0);
    text_add(&data, from, (size_t)(to - from));
    text_free(&page);
    return data;
}

static void the_page_carries_the_whole_document(void **state)
{
    struct fixture *f = *state;
    struct text data = data_of_report(f);
    json_t *read = json_loadb(data.data, data.len, 0, NULL);

    assert_non_null(read);
    assert_true(json_equal(read, f->document));
    json_decref(read);
    text_free(&data);
}

static void no_text_of_a_run_can_end_its_block(void **state)
{
    static const char nasty[] = "</script><!--<script>\xe2\x80\xa8\xe2\x80\xa9 \xe2\x80\x9c<b>&amp; {{document}} \xe4\xb8\xad";
    struct fixture *f = *state;

    json_object_set_new(json_object_get(f->document, "run"), "prompt", json_string(nasty));
    struct text data = data_of_report(f);
    assert_non_null(strstr(data.data, "\\u003c/script>\\u003c!--\\u003cscript>\\u2028\\u2029 \xe2\x80\x9c\\u003cb>"));
    json_t *read = json_loadb(data.data, data.len, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(json_object_get(read, "run"), "prompt")), nasty);
    json_decref(read);
    text_free(&data);
}

static void the_page_forbids_everything_but_its_own_script_and_style(void **state)
{
    struct fixture *f = *state;
    struct text page = {0};

    assert_int_equal(html_write(f->document, f->path, &f->err), 0);
    assert_int_equal(text_read_file(&page, f->path, 16 << 20, NULL), 0);
    assert_non_null(strstr(page.data, "default-src 'none'; script-src 'sha256-"));
    assert_non_null(strstr(page.data, "style-src 'sha256-"));
    assert_null(strstr(page.data, "unsafe-inline"));
    assert_null(strstr(page.data, "{{document}}"));
    text_free(&page);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    struct fixture *f = *state;
    char path[400];

    snprintf(path, sizeof path, "%s/none/report.html", f->dir);
    assert_int_equal(html_write(f->document, path, &f->err), ERR_IO);
    assert_non_null(strstr(f->err.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_page_carries_the_whole_document, setup, teardown),
        cmocka_unit_test_setup_teardown(no_text_of_a_run_can_end_its_block, setup, teardown),
        cmocka_unit_test_setup_teardown(the_page_forbids_everything_but_its_own_script_and_style, setup, teardown),
        cmocka_unit_test_setup_teardown(a_place_that_cannot_be_written_is_named, setup, teardown),
    };
    return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}
