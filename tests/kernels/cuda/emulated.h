// The GPU functions that halo.cu uses, emulated on the host: each thread of a block is a thread of the host, copies are
// done at once, and products read shared memory as the descriptors of wgmma say. This tests what is read, computed and
// written, but not races.

#pragma once
#include <barrier>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#define __device__
#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define __shared__
#define __align__(n)

struct Index { unsigned x; };
struct uint4 { unsigned x, y, z, w; };
struct float2 { float x, y; };
template <typename T> static T __ldg(const T* at) { return *at; }
static void delay(int) {}
static thread_local Index threadIdx, blockIdx;
static Index gridDim;
unsigned char memory[232448];
static std::unique_ptr<std::barrier<>> everyone, group_of[2];

static size_t __cvta_generic_to_shared(const void* at) { return (const unsigned char*)at - memory; }
static void __syncthreads() { everyone->arrive_and_wait(); }
static void copy16(unsigned to, const void* from, bool real) {
    if (real) memcpy(memory + to, from, 16);
    else memset(memory + to, 0, 16);
}
static void commit_copies() {}
template <int LEFT_OVER> static void wait_for_copies() {}
static void show_to_products() {}
static void meet(int group, int) { group_of[group]->arrive_and_wait(); }
static void begin_products() {}
static void commit_products() {}
// On a GPU a product runs while the next copies run; here they must not overtake it.
static void wait_for_products() { group_of[threadIdx.x / 128]->arrive_and_wait(); }

static float everyones[256];
static float from_lane(float value, int lane) {
    int group = threadIdx.x / 128;
    everyones[threadIdx.x] = value;
    group_of[group]->arrive_and_wait();
    float found = everyones[threadIdx.x / 32 * 32 + lane];
    group_of[group]->arrive_and_wait();
    return found;
}

static float number(unsigned short bits) {
    _Float16 value;
    memcpy(&value, &bits, 2);
    return value;
}
static unsigned pair(float low, float high) {
    _Float16 both[2] = {(_Float16)low, (_Float16)high};
    unsigned bits;
    memcpy(&bits, both, 4);
    return bits;
}

// Number (row, k) of a matrix with swizzled rows of 64 bytes: bits 4 and 5 of an address are XORed with bits 7 and 8.
static float at(unsigned long long matrix, int row, int k) {
    size_t begin = matrix & 0x3fff, next_eight_rows = matrix >> 32 & 0x3fff;
    size_t piece = begin + row / 8 * next_eight_rows + row % 8 * 4 + k / 8;
    piece ^= piece >> 3 & 3;
    unsigned short bits;
    memcpy(&bits, memory + piece * 16 + k % 8 * 2, 2);
    return number(bits);
}
template <int COUNT> static void product(float (&sums)[COUNT], unsigned long long a, unsigned long long b, bool more) {
    int thread = threadIdx.x % 128, warp = thread / 32, lane = thread % 32;
    for (int n = 0; n < COUNT; ++n) {
        int row = 16 * warp + lane / 4 + n / 2 % 2 * 8, column = n / 4 * 8 + lane % 4 * 2 + n % 2;
        float sum = more ? sums[n] : 0;
        for (int k = 0; k < 16; ++k) sum += at(a, row, k) * at(b, column, k);
        sums[n] = sum;
    }
    group_of[threadIdx.x / 128]->arrive_and_wait();
}
