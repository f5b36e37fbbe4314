/* SPDX-License-Identifier: MIT
 * libcrypto does the arithmetic, with the CPU's own instructions where it has them; reading goes ahead in large pieces. */
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 1 << 20, DIGEST_BYTES = 32 };

static int digest_fd(EVP_MD_CTX *md, int fd, const char *path, struct err *e)
{
    unsigned char *piece = malloc(PIECE);
    int code = 0;

    if (!piece)
        return err_set(e, ERR_MEMORY, "%s: out of memory for its SHA-256", path);
    for (;;) {
        ssize_t n = read(fd, piece, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        if (n <= 0)
            break;
        EVP_DigestUpdate(md, piece, (size_t)n);
    }
    free(piece);
    return code;
}

int sha256_file(char hex[SHA256_HEX_BYTES], const char *path, struct err *e)
{
    unsigned char digest[DIGEST_BYTES];
    EVP_MD_CTX *md = NULL;
    int code;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    md = EVP_MD_CTX_new();
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1) {
        code = err_set(e, ERR_ABSENT, "%s: libcrypto offers no SHA-256 here", path);
        goto out;
    }
    code = digest_fd(md, fd, path, e);
    if (code < 0)
        goto out;
    EVP_DigestFinal_ex(md, digest, NULL);
    for (int i = 0; i < DIGEST_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
out:
    EVP_MD_CTX_free(md);
    close(fd);
    return code;
}
