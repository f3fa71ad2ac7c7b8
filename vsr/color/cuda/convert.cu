// Codes to R'G'B' and back, for a card: the formulas of vsr.color.convert and vsr.color.chroma, operation by operation,
// and so the same bits. fmaf is torch's `add` with an alpha; no other product may be contracted with a sum.
//
// The host defines THREADS of a block, FAMILY, WIDE (16-bit codes), and ACROSS and DOWN: where a sample of chroma sits
// on its pair of luma samples, horizontally and vertically.

#define YUV 0
#define RGB 1
#define GRAY 2

#define WHOLE 0  // not subsampled
#define FIRST 1
#define MIDDLE 2
#define LAST 3

#if WIDE
typedef unsigned short Code;
#else
typedef unsigned char Code;
#endif

// Strides are in samples.
struct Memory {
    void* planes[3];
    long long rows[3], columns[3];
    float* image;
    long long channel, row, column;
    int height, width;
};
struct ToRgb {
    Memory memory;
    float black, step;                                // R', G', B' or grey
    float green_step, green_offset, red_part, blue_part;
    float red_gain, red_offset, blue_gain, blue_offset;
};
struct ToPlanes {
    Memory memory;
    float step, offset, largest;                      // R', G', B'
    float red_part, green_part, blue_part, back;      // luma and its way back to R'G'B'
    float red_gain, red_offset, blue_gain, blue_offset;
};

__device__ inline float code(const Memory& memory, int plane, int y, int x) {
    const Code* codes = (const Code*)memory.planes[plane];
    return (float)codes[y * memory.rows[plane] + x * memory.columns[plane]];
}
__device__ inline void put(const Memory& memory, int plane, int y, int x, float value, float largest) {
    Code* codes = (Code*)memory.planes[plane];
    codes[y * memory.rows[plane] + x * memory.columns[plane]] = (Code)(int)fminf(fmaxf(value, 0.0f), largest);
}
__device__ inline float& channel(const Memory& memory, int n, int y, int x) {
    return memory.image[n * memory.channel + y * memory.row + x * memory.column];
}

// R - Y and B - Y.
struct Pair { float red, blue; };
__device__ inline Pair operator+(Pair a, Pair b) { return {a.red + b.red, a.blue + b.blue}; }
__device__ inline Pair operator-(Pair a, Pair b) { return {a.red - b.red, a.blue - b.blue}; }
__device__ inline Pair operator*(Pair a, float factor) { return {a.red * factor, a.blue * factor}; }
__device__ inline Pair fused(Pair a, float factor, Pair b) {
    return {fmaf(a.red, factor, b.red), fmaf(a.blue, factor, b.blue)};
}

__device__ inline int least(int a, int b) { return a < b ? a : b; }
__device__ inline int within(int n, int count) { return n < 0 || count <= 0 ? 0 : least(n, count - 1); }

// What follows filters a row or a column of `size` samples of luma, or of half as many of chroma: `at` gives one.
// Ends are told apart without branches, and every sample is asked for in one place: code stays small.

// Half-way between b and c, which is number i of `count` such places (chroma._predict); d is c at the end.
__device__ inline Pair predicted(Pair a, Pair b, Pair c, Pair d, int i, int count) {
    if (i == 0 || i == count - 1) return (b + c) * 0.5f;
    return fused((a + b) + (c + d), -1.0f / 16, (b + c) * (10.0f / 16));
}

// chroma._down_first
template <class At> __device__ inline Pair down_first(const At& at, int k, int size) {
    int evens = (size + 1) / 2, odds = size / 2;
    Pair even[5], odd[2];
#pragma unroll
    for (int n = 0; n < 5; ++n) even[n] = at(2 * within(k - 2 + n, evens));
#pragma unroll
    for (int n = 0; n < 2; ++n) odd[n] = at(least(2 * within(k - 1 + n, odds) + 1, size - 1));
    if (odds == 0) return even[2];
    Pair before = odd[0] - predicted(even[0], even[1], even[2], even[3], k - 1, odds);
    Pair after = odd[1] - predicted(even[1], even[2], even[3], even[4], k, odds);
    if (k == 0) before = after;
    if (k == odds) after = before;
    return fused(before, 0.25f, fused(after, 0.25f, even[2]));
}

template <int SITE, class At> __device__ inline Pair down(const At& at, int k, int size) {
    if constexpr (SITE == WHOLE) return at(k);
    else if constexpr (SITE == FIRST) return down_first(at, k, size);
    else if constexpr (SITE == MIDDLE) {
        Pair other = at(least(2 * k + 1, size - 1));  // itself where it has no partner
        return fused(other - at(2 * k), -0.5f, other);
    } else {
        if (2 * k + 1 == size) return at(2 * k);
        int pairs = size / 2;
        return down_first([&](int n) { return at(2 * pairs - 1 - n); }, pairs - 1 - k, 2 * pairs);
    }
}

// chroma._up_first
template <class At> __device__ inline Pair up_first(const At& at, int i, int size) {
    int k = i / 2, count = (size + 1) / 2;
    Pair near[4];
#pragma unroll
    for (int n = 0; n < 4; ++n) near[n] = at(within(k - 1 + n, count));
    return i % 2 ? predicted(near[0], near[1], near[2], near[3], k, size / 2) : near[1];
}

template <int SITE, class At> __device__ inline Pair up(const At& at, int i, int size) {
    if constexpr (SITE == WHOLE) return at(i);
    else if constexpr (SITE == FIRST) return up_first(at, i, size);
    else {
        int k = i / 2, pairs = size / 2, count = (size + 1) / 2;
        if (k == pairs) return at(k);  // has no partner
        if constexpr (SITE == MIDDLE) {
            Pair slope = at(within(k + 1, count)) - at(within(k - 1, count));
            return fused(slope, i % 2 ? 0.125f : -0.125f, at(k));
        } else {
            return up_first([&](int n) { return at(pairs - 1 - n); }, 2 * pairs - 1 - i, 2 * pairs);
        }
    }
}

__device__ inline unsigned number() { return blockIdx.x * THREADS + threadIdx.x; }

// A thread for a pixel.
extern "C" __global__ void __launch_bounds__(THREADS) to_rgb(const __grid_constant__ ToRgb job) {
    const Memory& memory = job.memory;
    int y = number() / (unsigned)memory.width, x = number() % (unsigned)memory.width;
    if (y >= memory.height) return;
    if (FAMILY != YUV) {
        for (int n = 0; n < 3; ++n)
            channel(memory, n, y, x) = (code(memory, FAMILY == RGB ? n : 0, y, x) - job.black) * job.step;
        return;
    }
    auto sample = [&](int row, int column) -> Pair {  // convert._difference
        return {code(memory, 2, row, column) * job.red_gain - job.red_offset,
                code(memory, 1, row, column) * job.blue_gain - job.blue_offset};
    };
    auto row = [&](int n) { return up<ACROSS>([&](int k) { return sample(n, k); }, x, memory.width); };
    Pair chroma = up<DOWN>(row, y, memory.height);
    float luma = code(memory, 0, y, x);  // convert._combine
    float red = fmaf(luma, job.step, chroma.red), blue = fmaf(luma, job.step, chroma.blue);
    float green = fmaf(luma, job.green_step, job.green_offset);
    channel(memory, 0, y, x) = red;
    channel(memory, 1, y, x) = fmaf(blue, job.blue_part, fmaf(red, job.red_part, green));
    channel(memory, 2, y, x) = blue;
}

__device__ inline float luma_of(const ToPlanes& job, int y, int x) {  // convert._luma
    float sum = fmaf(channel(job.memory, 0, y, x), job.red_part, job.offset);
    sum = fmaf(channel(job.memory, 1, y, x), job.green_part, sum);
    return fmaf(channel(job.memory, 2, y, x), job.blue_part, sum);
}

__device__ inline Pair difference(const ToPlanes& job, int y, int x) {
    float luma = luma_of(job, y, x);
    return {fmaf(luma, job.back, channel(job.memory, 0, y, x)), fmaf(luma, job.back, channel(job.memory, 2, y, x))};
}

// A thread for a sample of chroma and the luma that it sits on.
extern "C" __global__ void __launch_bounds__(THREADS) to_planes(const __grid_constant__ ToPlanes job) {
    const Memory& memory = job.memory;
    const int across = ACROSS != WHOLE, down_ = DOWN != WHOLE;
    unsigned narrow = (memory.width + across) >> across;
    int k_y = number() / narrow, k_x = number() % narrow;
    if (k_y << down_ >= memory.height) return;
    if (FAMILY == RGB) {
        for (int n = 0; n < 3; ++n)
            put(memory, n, k_y, k_x, fmaf(channel(memory, n, k_y, k_x), job.step, job.offset), job.largest);
        return;
    }
    for (int y = k_y << down_; y < least(memory.height, k_y + 1 << down_); ++y)
        for (int x = k_x << across; x < least(memory.width, k_x + 1 << across); ++x)
            put(memory, 0, y, x, luma_of(job, y, x), job.largest);
    if (FAMILY == GRAY) return;
    auto column = [&](int x) {
        return down<DOWN>([&](int y) { return difference(job, y, x); }, k_y, memory.height);
    };
    Pair small = down<ACROSS>(column, k_x, memory.width);
    put(memory, 1, k_y, k_x, fmaf(small.blue, job.blue_gain, job.blue_offset), job.largest);
    put(memory, 2, k_y, k_x, fmaf(small.red, job.red_gain, job.red_offset), job.largest);
}
