/* A small stand-in for NVIDIA's libnvidia-ml.so.1, for tests without a GPU.
 *
 * Two synthetic devices: 0 at 300 W, 1 at 60 W, with an energy counter that moves in steps of
 * NVML_STUB_TICK_MS (default 20). NVML_STUB_MODE says how it behaves:
 *
 *   healthy            everything answers
 *   no_counter         no energy counter, power only
 *   no_instant         no instant power field: nvmlDeviceGetPowerUsage (and the counter) remain
 *   counter_backwards  the counter falls by 40 J every 1.5 s
 *   counter_stuck      the counter never moves
 *   disagree           the power reading is 10 % above the counter
 *   not_supported      neither counter nor power
 *   zero_power         no counter, and a power reading of 0 W
 *   averaged           no counter and no instant power: nvmlDeviceGetPowerUsage alone
 *   power_hiccup       the power field times out from 1.0 to 1.15 s, the counter stands
 *   neighbour_lost     device 1 is lost from the start
 *   neighbour_denied   device 1 belongs to another job: NO_PERMISSION
 *   processes_hidden   the list of processes is not supported
 *   lost_mid_run       after NVML_STUB_LOST_AFTER_S (default 1) every call says GPU_IS_LOST
 *   mig                device 0 is split into MIG instances
 *   throttled          hardware thermal slowdown
 *   foreign            a process of somebody else (pid 1) on device 0
 *   grace              power scopes of the module and its memory answer too
 *   driver_mismatch    nvmlInit fails
 *
 * Structures follow nvml.h; only what the sensor calls is here, so that a call to anything else
 * shows up as FUNCTION_NOT_FOUND.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
    NO_PERMISSION = 4, TIMEOUT = 10, GPU_IS_LOST = 15, LIB_RM_VERSION_MISMATCH = 18
};
enum { FI_POWER_AVERAGE = 185, FI_POWER_INSTANT = 186, SCOPE_GPU = 0, SCOPE_MODULE = 1, SCOPE_MEMORY = 2 };

typedef struct { uint32_t field, scope; int64_t timestamp, latency; uint32_t type, result;
                 union { double d; uint32_t u; uint64_t ull; } value; } field_value;
typedef struct { unsigned int gpu, memory; } utilization;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned int version, sensor; int temperature; } temperature_v1;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gi, ci; } process_info;

static const double watts[2] = { 300.0, 60.0 };
static const char *uuids[2] = { "GPU-00000000-0000-0000-0000-0000000000a0",
                                "GPU-11111111-0000-0000-0000-0000000000b1" };
static struct { int index; } devices[2] = { { 0 }, { 1 } };
static double started;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}
/* A reading of the counter takes NVML_STUB_COUNTER_US of CPU time (default 0; 4300 on an H100). */
static void burn(double seconds) {
    struct timespec t;
    if (seconds <= 0) return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    double end = t.tv_sec + t.tv_nsec * 1e-9 + seconds;
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (t.tv_sec + t.tv_nsec * 1e-9 < end);
}
static double number(const char *name, double otherwise) {
    const char *text = getenv(name);
    return text && *text ? atof(text) : otherwise;
}
static int mode(const char *name) {
    const char *text = getenv("NVML_STUB_MODE");
    return strcmp(text && *text ? text : "healthy", name) == 0;
}
static int lost(void) {
    return mode("lost_mid_run") && now() - started > number("NVML_STUB_LOST_AFTER_S", 1.0);
}
static int index_of(void *device) { return device == (void *)&devices[1]; }
static double power_w(int index) {
    return mode("zero_power") ? 0.0 : watts[index] * (mode("disagree") ? 1.10 : 1.0);
}

/* Every call on a device first asks whether it is still there. */
#define ON_DEVICE if (lost()) return GPU_IS_LOST

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (mode("driver_mismatch")) return LIB_RM_VERSION_MISMATCH;
    started = now();
    return SUCCESS;
}
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) {
    return code == GPU_IS_LOST ? "GPU is lost" : code == NOT_SUPPORTED ? "Not Supported"
         : code == LIB_RM_VERSION_MISMATCH ? "Driver/library version mismatch"
         : code == NO_PERMISSION ? "Insufficient Permissions" : "Stub error";
}
int nvmlSystemGetDriverVersion(char *text, unsigned int size) {
    snprintf(text, size, "550.00.stub");
    return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) {
    ON_DEVICE;
    if (index > 1) return INVALID_ARGUMENT;
    if (index == 1 && mode("neighbour_lost")) return GPU_IS_LOST;
    if (index == 1 && mode("neighbour_denied")) return NO_PERMISSION;
    *device = &devices[index];
    return SUCCESS;
}
int nvmlDeviceGetUUID(void *device, char *text, unsigned int size) {
    ON_DEVICE;
    snprintf(text, size, "%s", uuids[index_of(device)]);
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *text, unsigned int size) {
    ON_DEVICE;
    (void)device;
    snprintf(text, size, "Synthetic stub GPU");
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    ON_DEVICE;
    if (mode("no_counter") || mode("not_supported") || mode("zero_power") || mode("averaged"))
        return NOT_SUPPORTED;
    burn(number("NVML_STUB_COUNTER_US", 0.0) * 1e-6);
    double tick = number("NVML_STUB_TICK_MS", 20.0) * 1e-3, t = now();
    double steps = (double)(long long)(t / tick);
    double joules = mode("counter_stuck") ? 1000.0 : watts[index_of(device)] * steps * tick;
    if (mode("counter_backwards")) joules -= 40.0 * (double)(long long)((t - started) / 1.5);
    *millijoules = (unsigned long long)(joules * 1e3);
    return SUCCESS;
}
int nvmlDeviceGetFieldValues(void *device, int count, field_value *values) {
    ON_DEVICE;
    for (int i = 0; i < count; i++) {
        int average = values[i].field == FI_POWER_AVERAGE;
        int known = (average || values[i].field == FI_POWER_INSTANT) && !mode("not_supported")
                    && !mode("no_instant") && !mode("averaged")
                    && (values[i].scope == SCOPE_GPU || (mode("grace") && values[i].scope <= 2));
        values[i].result = known ? SUCCESS : NOT_SUPPORTED;
        values[i].type = 1; /* unsigned int */
        values[i].value.ull = 0;
        if (mode("power_hiccup") && now() - started > 1.0 && now() - started < 1.15) {
            values[i].result = TIMEOUT;
            continue;
        }
        if (known)
            values[i].value.u = (uint32_t)(power_w(index_of(device)) * 1e3)
                                + (values[i].scope == SCOPE_MODULE ? 150000u : 0u);
    }
    return SUCCESS;
}
int nvmlDeviceGetPowerUsage(void *device, unsigned int *milliwatts) {
    ON_DEVICE;
    if (mode("not_supported")) return NOT_SUPPORTED;
    *milliwatts = (unsigned int)(power_w(index_of(device)) * 1e3);
    return SUCCESS;
}
int nvmlDeviceGetTemperatureV(void *device, temperature_v1 *value) {
    ON_DEVICE;
    (void)device;
    value->temperature = 55;
    return SUCCESS;
}
int nvmlDeviceGetClockInfo(void *device, unsigned int type, unsigned int *mhz) {
    ON_DEVICE;
    (void)device; (void)type;
    *mhz = 1755;
    return SUCCESS;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *device, unsigned long long *mask) {
    ON_DEVICE;
    (void)device;
    *mask = mode("throttled") ? 0x40ull : 0x0ull;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization *rates) {
    ON_DEVICE;
    rates->gpu = index_of(device) ? 0 : 97;
    rates->memory = 40;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_info *memory) {
    ON_DEVICE;
    (void)device;
    memory->total = 80ull << 30;
    memory->used = 17ull << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *count, process_info *list) {
    ON_DEVICE;
    if (mode("processes_hidden")) return NOT_SUPPORTED;
    unsigned int have = mode("foreign") && index_of(device) == 0 ? 1 : 0, room = *count;
    *count = have;
    if (have == 0) return SUCCESS;
    if (room < have || list == NULL) return INSUFFICIENT_SIZE;
    list[0].pid = 1;
    list[0].used = 1ull << 30;
    list[0].gi = list[0].ci = 0xFFFFFFFFu;
    return SUCCESS;
}
int nvmlDeviceGetMigMode(void *device, unsigned int *current, unsigned int *pending) {
    ON_DEVICE;
    *current = *pending = mode("mig") && index_of(device) == 0;
    return SUCCESS;
}
int nvmlDeviceGetPersistenceMode(void *device, unsigned int *state) {
    ON_DEVICE;
    (void)device;
    *state = 1;
    return SUCCESS;
}
int nvmlDeviceGetEccMode(void *device, unsigned int *current, unsigned int *pending) {
    ON_DEVICE;
    (void)device;
    *current = *pending = 1;
    return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned int *milliwatts) {
    ON_DEVICE;
    (void)device;
    *milliwatts = 400000;
    return SUCCESS;
}
int nvmlDeviceGetPowerManagementDefaultLimit(void *device, unsigned int *milliwatts) {
    ON_DEVICE;
    (void)device;
    *milliwatts = 400000;
    return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    ON_DEVICE;
    (void)device;
    *major = 9;
    *minor = 0;
    return SUCCESS;
}
