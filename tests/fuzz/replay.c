/* Feeds every file of the given directories to one fuzz target: replay_NAME DIRECTORY... */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Copies a file to a block of exactly its size, so that AddressSanitizer sees any byte read behind it. */
static bool replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    bool ok = f && fstat(fileno(f), &st) == 0;
    size_t size = ok ? (size_t)st.st_size : 0;
    uint8_t *data = malloc(size ? size : 1);
    ok = ok && data && fread(data, 1, size, f) == size;
    if (f)
        fclose(f);
    if (ok)
        LLVMFuzzerTestOneInput(size ? data : NULL, size);
    else
        fprintf(stderr, "cannot read '%s'\n", path);
    free(data);
    return ok;
}

/* Number of files replayed, -1 when something could not be read. */
static int replay_directory(const char *path)
{
    DIR *dir = opendir(path);
    int n_files = 0;
    if (!dir) {
        fprintf(stderr, "cannot read the directory '%s'\n", path);
        return -1;
    }
    struct dirent *entry;
    while (n_files >= 0 && (entry = readdir(dir))) {
        char file[4096];
        if (entry->d_name[0] == '.')
            continue;
        int n = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        n_files = n > 0 && (size_t)n < sizeof file && replay_file(file) ? n_files + 1 : -1;
    }
    closedir(dir);
    return n_files;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n_files = replay_directory(argv[i]);
        if (n_files <= 0) {
            fprintf(stderr, "%s: expected files to replay in '%s', found none\n", argv[0], argv[i]);
            return EXIT_FAILURE;
        }
        printf("%d files of %s\n", n_files, argv[i]);
    }
    return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
