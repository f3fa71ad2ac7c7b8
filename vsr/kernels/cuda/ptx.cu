// Functions in PTX for halo.cu: copies to shared memory, barriers, conversion of 16-bit numbers. The host adds the
// function `product` after this text, because its text depends on the number of outputs.

__device__ void copy16(unsigned to, const void* from, bool real) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(real ? 16 : 0));
}
__device__ void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
template <int LEFT_OVER> __device__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;\n" ::"n"(LEFT_OVER) : "memory");
}
__device__ void show_to_products() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }
__device__ void meet(int group, int threads) {
    asm volatile("bar.sync %0, %1;\n" ::"r"(group + 1), "r"(threads) : "memory");
}
__device__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
__device__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }
__device__ void wait_for_products() { asm volatile("wgmma.wait_group.sync.aligned 0;\n" ::: "memory"); }

__device__ void delay(int cycles) {
    const long long begin = clock64();
    while (clock64() - begin < cycles) {}
}

__device__ float number(unsigned short bits) {
    float value;
    if (HALF) asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    else value = __uint_as_float((unsigned)bits << 16);
    return value;
}
__device__ unsigned pair(float low, float high) {
    unsigned both;
    if (HALF) asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    else asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
    return both;
}

__device__ float from_lane(float value, int lane) { return __shfl_sync(0xffffffff, value, lane); }
