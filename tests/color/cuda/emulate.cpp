// convert.cu as a library for the host: one thread after the other.

#include <cmath>

#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)

struct Index { unsigned x; };
static Index threadIdx, blockIdx;

#include "convert.cu"

template <class Job> static void all(void (*kernel)(Job), const Job& job, unsigned blocks) {
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < THREADS; ++threadIdx.x) kernel(job);
}
extern "C" void emulate_to_rgb(const ToRgb* job, unsigned blocks) { all<ToRgb>(to_rgb, *job, blocks); }
extern "C" void emulate_to_planes(const ToPlanes* job, unsigned blocks) { all<ToPlanes>(to_planes, *job, blocks); }
