/* SPDX-License-Identifier: MIT
 * Versions at run time, not those of the headers, wherever a library tells. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "machine_libraries.h"

#include <cblas.h>
#include <gnu/libc-version.h>
#include <hwloc.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <yaml.h>
#if HAVE_PAPI
#include <papi.h>
#endif

const char *library_openblas(char *buf, size_t size)
{
    snprintf(buf, size, "%s (%s)", openblas_get_config(), openblas_get_corename());
    return buf;
}

const char *library_papi(char *buf, size_t size)
{
#if HAVE_PAPI
    int v = PAPI_get_opt(PAPI_LIB_VERSION, NULL);
    snprintf(buf, size, "%d.%d.%d", PAPI_VERSION_MAJOR(v), PAPI_VERSION_MINOR(v), PAPI_VERSION_REVISION(v));
    return buf;
#else
    (void)buf, (void)size;
    return NULL;
#endif
}

const char *library_others(char *buf, size_t size)
{
    const unsigned hwloc = hwloc_get_api_version();
    char pcre[64] = "";

    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    snprintf(buf, size, "SQLite %s, hwloc API %u.%u.%u, jansson %s, libyaml %s, PCRE2 %.*s, utf8proc %s, OpenSSL %s, glibc %s",
             sqlite3_libversion(), hwloc >> 16, hwloc >> 8 & 255, hwloc & 255, jansson_version_str(), yaml_get_version_string(),
             (int)strcspn(pcre, " "), pcre, utf8proc_version(), OpenSSL_version(OPENSSL_VERSION_STRING),
             gnu_get_libc_version());
    return buf;
}
