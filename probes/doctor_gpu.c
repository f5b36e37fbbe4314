/* SPDX-License-Identifier: MIT
 * Is there an NVIDIA GPU, and how far does this process get towards it: on the bus, a driver, device files, the right to open
 * them, the driver's libraries, the toolkit; then, through the plug-in, what CUDA sees and whether counters may be used. Where
 * there is neither a GPU nor a driver, one line is all. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "doctor_parts.h"
#include "gpu.h"
#include "root_file.h"
#include "text.h"

enum { CAPABILITY_LEAST = 8 }; /* the backend's kernels are for it and later ones */

struct gpu {
    int on_bus;     /* display or compute devices of NVIDIA's */
    int driven;     /* those that the driver knows */
    char model[96]; /* of the first */
    bool driver;
    char version[96]; /* of the driver; containers may hide it */
    int device_error; /* errno of opening /dev/nvidiactl and the first /dev/nvidia0, 1, ... */
    int restricted;   /* counters are root's: 1, 0, or -1 where it is not told */
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

static int open_error(const char *root, const char *file)
{
    char full[ROOT_PATH];
    int fd = open(root_path(full, root, "/dev/%s", file), O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return errno;
    close(fd);
    return 0;
}

/* Containers may be given others than the first. */
static int first_device_error(const char *root)
{
    enum { DEVICES = 64 };
    int why = ENOENT;

    for (int i = 0; why == ENOENT && i < DEVICES; i++) {
        char file[16];
        snprintf(file, sizeof file, "nvidia%d", i);
        why = open_error(root, file);
    }
    return why;
}

static int counters_restricted(const char *root)
{
    char line[128];
    int restricted = -1;
    FILE *f = root_open(root, "/proc/driver/nvidia/params");

    if (!f)
        return -1;
    while (restricted < 0 && fgets(line, sizeof line, f))
        if (sscanf(line, "RmProfilingAdminOnly: %d", &restricted) != 1)
            restricted = -1;
    fclose(f);
    return restricted;
}

static void find_gpu(struct gpu *g, const char *root)
{
    *g = (struct gpu){0};
    each_entry(g, root, "/sys/bus/pci/devices", look_on_bus);
    each_entry(g, root, "/proc/driver/nvidia/gpus", look_at_driven);
    root_line(g->version, sizeof g->version, root, "/proc/driver/nvidia/version");
    g->driver = g->version[0] || root_has(root, "/dev/nvidiactl");
    if (!g->driver)
        return;
    g->restricted = counters_restricted(root);
    g->device_error = open_error(root, "nvidiactl");
    if (!g->device_error)
        g->device_error = first_device_error(root);
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
                   "there is a driver, but no /dev/nvidia0, 1, ... here");
    else
        doctor_add(d, DOCTOR_GPU, "device files", FINDING_WARN, "sudo usermod -aG video,render $USER, then log in again",
                   "/dev/nvidia...: %s", strerror(g->device_error));
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

static void tell_restriction(struct diagnosis *d, const struct gpu *g)
{
    static const char what[] = "RmProfilingAdminOnly";

    if (g->restricted == 0)
        doctor_add(d, DOCTOR_GPU, what, FINDING_OK, "", "0: the GPU's counters are for every user");
    else if (g->restricted > 0 && geteuid() == 0)
        doctor_add(d, DOCTOR_GPU, what, FINDING_INFO, "", "1: the GPU's counters are for root, as this process is");
    else if (g->restricted > 0)
        doctor_add(
            d, DOCTOR_GPU, what, FINDING_WARN,
            "echo options nvidia NVreg_RestrictProfilingToAdminUsers=0 | sudo tee /etc/modprobe.d/nvidia-profiling.conf, "
            "then restart; or run as root",
            "1: the GPU's counters are for root alone");
}

static bool tell_cuda_device(struct diagnosis *d, const struct gpu_plugin *gpu, int device)
{
    struct gpu_facts f;
    struct err e = {0};
    char what[32], memory[16];

    snprintf(what, sizeof what, "CUDA GPU %d", device);
    if (gpu->facts(device, &f, &e) < 0) {
        doctor_add_sentence(d, DOCTOR_GPU, what, e.text);
        return false;
    }
    const bool computes = f.major >= CAPABILITY_LEAST;
    doctor_add(d, DOCTOR_GPU, what, computes ? FINDING_OK : FINDING_ABSENT, "", "%s, compute capability %d.%d%s, %s, at %s",
               f.name, f.major, f.minor, computes ? "" : " (8.0 is needed)",
               text_bytes(memory, sizeof memory, (double)f.memory_bytes), f.pci);
    return computes;
}

/* As far as the program itself gets. Counters are asked for on the first GPU: what forbids them is the driver's. */
static enum doctor_grade tell_cuda(struct diagnosis *d)
{
    struct err e = {0};
    const struct gpu_plugin *gpu = gpu_plugin(&e);
    int devices = 0, told = 0;

    if (!gpu || gpu->count(&devices, &e) < 0) {
        doctor_add_sentence(d, DOCTOR_GPU, gpu ? "CUDA" : "plug-in", e.text);
        return DOCTOR_C;
    }
    for (int i = 0; i < devices; i++)
        told += tell_cuda_device(d, gpu, i);
    if (told == 0)
        return DOCTOR_C;
    if (gpu->counters_allowed(0, &e) < 0) {
        doctor_add_sentence(d, DOCTOR_GPU, "GPU counters", e.text);
        return DOCTOR_B;
    }
    doctor_add(d, DOCTOR_GPU, "GPU counters", FINDING_OK, "", "they may be used");
    return DOCTOR_A;
}

enum doctor_grade doctor_gpu(struct diagnosis *d, const struct doctor_args *args)
{
    struct gpu g;

    find_gpu(&g, args->root);
    if (!g.driver && g.on_bus == 0) {
        doctor_add(d, DOCTOR_GPU, "GPU", FINDING_INFO, "", "no NVIDIA GPU on this machine");
        return DOCTOR_UNGRADED;
    }
    if (!g.driver) {
        doctor_add(d, DOCTOR_GPU, "GPU", FINDING_ABSENT, "sudo apt-get install nvidia-driver, then restart",
                   "%d NVIDIA GPU%s on the bus, no driver is loaded", g.on_bus, g.on_bus > 1 ? "s" : "");
        return DOCTOR_D;
    }
    if (g.driven > 0)
        doctor_add(d, DOCTOR_GPU, "GPU", FINDING_INFO, "", "%d x %s", g.driven, g.model[0] ? g.model : "unknown model");
    doctor_add(d, DOCTOR_GPU, "driver", FINDING_INFO, "", "%s",
               g.version[0] ? g.version : "there, its version is not to be seen");
    tell_device(d, &g);
    tell_software(d, &g);
    tell_restriction(d, &g);
    return tell_cuda(d);
}
