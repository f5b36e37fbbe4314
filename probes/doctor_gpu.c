/* SPDX-License-Identifier: MIT
 * Is there an NVIDIA GPU, and how far does this process get towards it: on the bus, a driver, device files, the right to open
 * them, the driver's libraries, the toolkit. Libraries are only opened and closed again; no driver is asked anything. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor_parts.h"
#include "root_file.h"

struct gpu {
    int on_bus;       /* display or compute devices of NVIDIA's */
    int driven;       /* those that the driver knows */
    char model[96];   /* of the first */
    char version[96]; /* of the driver; empty: no driver is loaded */
    int device_error; /* errno of opening /dev/nvidia0, 0 when it opens */
    bool cuda, nvml, toolkit;
};

/* Runs `look` for every entry of a folder under root. */
static void each_entry(struct gpu *g, const char *root, const char *folder,
                       void (*look)(struct gpu *, const char *, const char *))
{
    char path[ROOT_PATH];
    DIR *open = opendir(root_path(path, root, "%s", folder));

    if (!open)
        return;
    for (struct dirent *entry; (entry = readdir(open));)
        if (entry->d_name[0] != '.')
            look(g, root, entry->d_name);
    closedir(open);
}

static void look_on_bus(struct gpu *g, const char *root, const char *device)
{
    char vendor[16], class[16];

    if (root_line(vendor, sizeof vendor, root, "/sys/bus/pci/devices/%s/vendor", device) ||
        root_line(class, sizeof class, root, "/sys/bus/pci/devices/%s/class", device))
        return;
    g->on_bus += strcmp(vendor, "0x10de") == 0 && strncmp(class, "0x03", 4) == 0; /* audio and bridges are other classes */
}

static void look_at_driven(struct gpu *g, const char *root, const char *device)
{
    char line[128];
    FILE *f = root_open(root, "/proc/driver/nvidia/gpus/%s/information", device);

    if (!f)
        return;
    g->driven++;
    while (!g->model[0] && fgets(line, sizeof line, f))
        if (strncmp(line, "Model:", 6) == 0)
            snprintf(g->model, sizeof g->model, "%.*s", (int)strcspn(line + 6 + strspn(line + 6, " \t"), "\n"),
                     line + 6 + strspn(line + 6, " \t"));
    fclose(f);
}

static bool loads(const char *library)
{
    void *handle = dlopen(library, RTLD_LAZY | RTLD_LOCAL);

    if (handle)
        dlclose(handle);
    return handle != NULL;
}

static int open_error(const char *root, const char *path)
{
    char full[ROOT_PATH];
    int fd = open(root_path(full, root, "%s", path), O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

static void find_gpu(struct gpu *g, const char *root)
{
    *g = (struct gpu){0};
    each_entry(g, root, "/sys/bus/pci/devices", look_on_bus);
    each_entry(g, root, "/proc/driver/nvidia/gpus", look_at_driven);
    root_line(g->version, sizeof g->version, root, "/proc/driver/nvidia/version");
    if (!g->version[0])
        return;
    g->device_error = open_error(root, "/dev/nvidiactl");
    if (!g->device_error)
        g->device_error = open_error(root, "/dev/nvidia0");
    g->cuda = loads("libcuda.so.1");
    g->nvml = loads("libnvidia-ml.so.1");
    g->toolkit = root_has(root, "/usr/local/cuda/bin/nvcc") || root_has(root, "/usr/bin/nvcc");
}

static void tell_device(struct diagnosis *d, const struct gpu *g)
{
    if (g->device_error == 0)
        doctor_add(d, DOCTOR_GPU, "device files", FINDING_OK, "", "they open");
    else if (g->device_error == ENOENT)
        doctor_add(d, DOCTOR_GPU, "device files", FINDING_ABSENT,
                   "docker run --gpus all ..., or as root: nvidia-modprobe -u -c 0",
                   "there is a driver, but no /dev/nvidia0 here");
    else
        doctor_add(d, DOCTOR_GPU, "device files", FINDING_WARN, "sudo usermod -aG video,render $USER, then log in again",
                   "/dev/nvidia0: %s", strerror(g->device_error));
}

static void tell_software(struct diagnosis *d, const struct gpu *g)
{
    if (g->cuda && g->nvml)
        doctor_add(d, DOCTOR_GPU, "driver libraries", FINDING_OK, "", "libcuda.so.1 and libnvidia-ml.so.1 load");
    else
        doctor_add(d, DOCTOR_GPU, "driver libraries", FINDING_ABSENT,
                   "sudo apt-get install libcuda1 libnvidia-ml1; in a container: docker run --gpus all -e "
                   "NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",
                   "%s%s%s not found", g->cuda ? "" : "libcuda.so.1", g->cuda || g->nvml ? "" : " and ",
                   g->nvml ? "" : "libnvidia-ml.so.1");
    if (g->toolkit)
        doctor_add(d, DOCTOR_GPU, "toolkit", FINDING_OK, "", "nvcc is here");
    else
        doctor_add(d, DOCTOR_GPU, "toolkit", FINDING_ABSENT, "sudo apt-get install nvidia-cuda-toolkit",
                   "driver without toolkit: programs run, none can be built");
}

enum doctor_grade doctor_gpu(struct diagnosis *d, const struct doctor_args *args)
{
    struct gpu g;

    find_gpu(&g, args->root);
    if (!g.version[0] && g.on_bus == 0) {
        doctor_add(d, DOCTOR_GPU, "GPU", FINDING_INFO, "", "no NVIDIA GPU on this machine");
        return DOCTOR_UNGRADED;
    }
    if (!g.version[0]) {
        doctor_add(d, DOCTOR_GPU, "GPU", FINDING_ABSENT, "sudo apt-get install nvidia-driver, then restart",
                   "%d NVIDIA GPU%s on the bus, no driver is loaded", g.on_bus, g.on_bus > 1 ? "s" : "");
        return DOCTOR_D;
    }
    doctor_add(d, DOCTOR_GPU, "GPU", FINDING_INFO, "", "%d x %s", g.driven, g.model[0] ? g.model : "unknown model");
    doctor_add(d, DOCTOR_GPU, "driver", FINDING_INFO, "", "%s", g.version);
    tell_device(d, &g);
    tell_software(d, &g);
    return g.device_error || !g.cuda ? DOCTOR_C : g.toolkit ? DOCTOR_A : DOCTOR_B;
}
