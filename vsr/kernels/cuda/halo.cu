// A convolution with Hopper's warp-group matrix products (wgmma), for 16-bit features with contiguous channels.
//
// A block has two warp groups, each with its own tiles. Both read the weights of all taps from shared memory, where
// they stay. A tile is copied with its halo in chunks of 32 channels, so that all nine taps read the same copy. An
// implicit matrix product that loads each tap again needs more bandwidth than L2 has (with 32 outputs: 128 bytes per
// cycle and multiprocessor, of about 28).
//
// Shared memory holds a pixel's 32 channels in 64 bytes, swizzled as wgmma reads rows of 64 bytes: bits 4 and 5 of an
// address are XORed with bits 7 and 8. Swizzling depends on addresses, not on where a matrix begins, so another tap
// is the same matrix at another address. (Without swizzling the products take up to 1.3 times as long:
// docs/benchmarks.md.)
//
// With 64 outputs each tap is a product of its own. With 32 outputs a product would need more bandwidth than shared
// memory has (3 KB in 16 cycles). So with STACKED the three taps of a row are one product of 96 columns. At the end
// threads exchange the sums that belong to neighbouring pixels, which costs two columns of each tile.
//
// The host defines OUTPUTS (of a part), PARTS, CHUNKS, STAGES, TAP_ROWS, TAP_COLUMNS, PLANES (whether results are
// float32 with any strides), SHUFFLE (factor of the pixel shuffle after the layer; 1 for none), HALF (whether features
// are float16) and STACKED. It puts ptx.cu and the function `product` before this text.

constexpr int GROUPS = 2, GROUP = 128;
constexpr int UNITS = 4, ACROSS = STACKED ? 4 : 2;  // units of 8 x 8 pixels, the 64 rows of a product
constexpr int TILE_ROWS = UNITS / ACROSS * 8, TILE_COLUMNS = ACROSS * 8 - (STACKED ? TAP_COLUMNS - 1 : 0);
constexpr int HALO_ROWS = TILE_ROWS + TAP_ROWS - 1, HALO_COLUMNS = TILE_COLUMNS + TAP_COLUMNS - 1;
constexpr int HALO = HALO_ROWS * HALO_COLUMNS;
constexpr int EIGHTS = 4;                        // groups of eight channels in a chunk, 16 bytes each: a piece
constexpr int STAGE = (HALO * EIGHTS + 31) / 32 * 512;  // bytes; swizzling repeats after 512
constexpr int TAPS = TAP_ROWS * (STACKED ? 1 : TAP_COLUMNS);     // products, one after the other
constexpr int COLUMNS = OUTPUTS * (STACKED ? TAP_COLUMNS : 1);  // of a product
constexpr int WEIGHTS = TAPS * CHUNKS * COLUMNS * EIGHTS * 16;  // bytes, of a part
constexpr int COPIES = (HALO * EIGHTS + GROUP - 1) / GROUP;     // copies of 16 bytes per thread and chunk
constexpr int OWN = OUTPUTS / 4;                // results of a pixel in one thread

struct Residual { const unsigned short* features; long long image; int pixel; float gain; };
struct Job {
    const unsigned short* src;
    const unsigned short* weights;  // (parts, TAPS, CHUNKS, COLUMNS, EIGHTS, 8), pieces swizzled for wgmma
    const float* bias;              // one for each output
    const float* slopes;
    void* dst;
    long long src_image, dst_image, dst_row, dst_column, dst_channel;
    Residual base, outer;           // without features: no residual
    const float* lr;                // (N, 3, H, W): the nearest neighbour of it is added to what is shuffled
    int src_pixel, images, height, width, top, left, outputs;
    float gain;
};

// The descriptor of a matrix with swizzled rows of 64 bytes: its address, and the distance to the next eight rows in
// pieces.
__device__ unsigned long long matrix(unsigned address, int next_eight_rows) {
    return (unsigned long long)(address >> 4) | 1ull << 16 | (unsigned long long)next_eight_rows << 32 | 2ull << 62;
}

// The image, row and column of a tile's first pixel.
struct Place { int image, y, x; };
__device__ Place place_of(int tile, int across, int down) {
    return {tile / (across * down), tile / across % down * TILE_ROWS, tile % across * TILE_COLUMNS};
}

// Copies the tiles of a warp group to shared memory, chunk by chunk.
struct Loader {
    const Job& job;
    unsigned stages;
    int tile, stride, tiles, across, down, thread;
    int chunk = 0, stage = 0;
    const unsigned short* picture;
    int offsets[COPIES];

    __device__ void aim() {
        Place at = place_of(tile, across, down);
        picture = job.src + at.image * job.src_image;
#pragma unroll
        for (int n = 0; n < COPIES; ++n) {
            int pixel = thread / EIGHTS + n * (GROUP / EIGHTS);
            int y = at.y + job.top + pixel / HALO_COLUMNS, x = at.x + job.left + pixel % HALO_COLUMNS;
            bool inside = y >= 0 && y < job.height && x >= 0 && x < job.width;
            offsets[n] = inside ? (y * job.width + x) * job.src_pixel + thread % EIGHTS * 8 : -1;
        }
    }

    // Starts copies FROM to TO (exclusive) of a chunk.
    template <int FROM, int TO> __device__ void copy() {
        if (tile >= tiles) return;
        const int pixel = thread / EIGHTS;
        const unsigned to = stages + stage * STAGE + pixel * EIGHTS * 16 + (thread % EIGHTS ^ pixel / 2 % 4) * 16;
#pragma unroll
        for (int n = FROM; n < TO; ++n) {
            bool real = offsets[n] >= 0;
            if (pixel + n * (GROUP / EIGHTS) < HALO)
                copy16(to + n * GROUP * 16, picture + (real ? offsets[n] + chunk * EIGHTS * 8 : 0), real);
        }
    }

    // Ends a chunk. It is committed even if there was none left, because waits count commits.
    __device__ void end() {
        commit_copies();
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        if (++chunk < CHUNKS) return;
        chunk = 0;
        tile += stride;
        if (tile < tiles) aim();
    }
};

__device__ void add(float (&values)[OWN], const Residual& residual, long long image, long long pixel, int first) {
    const uint4* from = (const uint4*)(residual.features + image * residual.image + pixel * residual.pixel + first);
#pragma unroll
    for (int n = 0; n < OWN / 8; ++n) {
        uint4 eight = from[n];
        const unsigned words[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            values[n * 8 + 2 * i] += number(words[i] & 0xffff) * residual.gain;
            values[n * 8 + 2 * i + 1] += number(words[i] >> 16) * residual.gain;
        }
    }
}

// Collects a thread's sums of a pixel. With stacked taps, the sums of the first tap come from the pixel before, those
// of the third tap from the pixel after: from a neighbouring lane, or from the neighbouring unit.
__device__ void gather(float (&values)[OWN], const float (&sums)[UNITS][COLUMNS / 2], int unit, int half, int lane) {
    const int column = lane / 4;
#pragma unroll
    for (int n = 0; n < OWN; ++n) {
        const int at = n / 2 * 4 + half * 2 + n % 2;
        if (!STACKED) {
            values[n] = sums[unit][at];
            continue;
        }
        const int middle = (at + OUTPUTS / 2) % (COLUMNS / 2), last = (at + OUTPUTS) % (COLUMNS / 2);
        const float before = column == 7 ? sums[unit ? unit - 1 : 0][at] : sums[unit][at];
        const float behind = column == 0 ? sums[unit + 1 < UNITS ? unit + 1 : unit][last] : sums[unit][last];
        values[n] = sums[unit][middle] + from_lane(before, (lane + 28) % 32) + from_lane(behind, (lane + 4) % 32);
    }
}

__device__ float activated(float sum, float slope) { return sum < 0 ? sum * slope : sum; }

// Applies bias, activation and residuals to a thread's results of a pixel, and writes them.
__device__ void finish(const Job& job, float (&values)[OWN], long long image, int y, int x, int first) {
    if (y >= job.height || x >= job.width) return;
#pragma unroll
    for (int n = 0; n < OWN; n += 2) {
        // In planes, a thread has outputs 8 j + 2 q and the next; else OWN adjacent ones, by the order of the weights.
        const int output = PLANES ? n * 4 + first : first + n;
        const float2 bias = __ldg((const float2*)(job.bias + output)), slopes = __ldg((const float2*)(job.slopes + output));
        values[n] = activated(values[n] + bias.x, slopes.x) * job.gain;
        values[n + 1] = activated(values[n + 1] + bias.y, slopes.y) * job.gain;
    }
    if (PLANES) {
        float* to = (float*)job.dst + image * job.dst_image + y * SHUFFLE * job.dst_row + x * SHUFFLE * job.dst_column;
#pragma unroll
        for (int n = 0; n < OWN; ++n) {
            int output = n / 2 * 8 + first + n % 2;
            if (output >= job.outputs) continue;
            int channel = output / (SHUFFLE * SHUFFLE), row = output / SHUFFLE % SHUFFLE, column = output % SHUFFLE;
            if (SHUFFLE > 1) values[n] += job.lr[((image * 3 + channel) * job.height + y) * job.width + x];
            to[channel * job.dst_channel + row * job.dst_row + column * job.dst_column] = values[n];
        }
        return;
    }
    long long pixel = (long long)y * job.width + x;
    if (job.base.features) add(values, job.base, image, pixel, first);
    if (job.outer.features) add(values, job.outer, image, pixel, first);
    unsigned short* to = (unsigned short*)job.dst + image * job.dst_image + y * job.dst_row + x * job.dst_column + first;
#pragma unroll
    for (int n = 0; n < OWN / 8; ++n) {
        const float* v = values + n * 8;
        ((uint4*)to)[n] = {pair(v[0], v[1]), pair(v[2], v[3]), pair(v[4], v[5]), pair(v[6], v[7])};
    }
}

// The products of a chunk from step STEP on. Each step starts its share of the copies of a later chunk, because a
// thread would otherwise wait until the tensor cores accept its products.
template <int STEP> struct Products {
    static constexpr int STEPS = TAPS * EIGHTS / 2;
    static __device__ void start(
        float (&sums)[UNITS][COLUMNS / 2], unsigned long long a, unsigned long long b, int chunk, Loader& loader) {
        constexpr int tap = STEP / (EIGHTS / 2), k = STEP % (EIGHTS / 2) * 2;
#pragma unroll
        for (int unit = 0; unit < UNITS; ++unit) {
            int row = unit / ACROSS * 8 + (STACKED ? tap : tap / TAP_COLUMNS);
            int column = unit % ACROSS * 8 + (STACKED ? 0 : tap % TAP_COLUMNS);
            product(sums[unit], a + (row * HALO_COLUMNS + column) * EIGHTS + k,
                    b + tap * CHUNKS * COLUMNS * EIGHTS + k, chunk > 0 || STEP > 0);
        }
        loader.copy<STEP * COPIES / STEPS, (STEP + 1) * COPIES / STEPS>();
        if constexpr (STEP + 1 < STEPS) Products<STEP + 1>::start(sums, a, b, chunk, loader);
    }
};

extern "C" __global__ void __launch_bounds__(GROUPS * GROUP, 1) convolve(const __grid_constant__ Job job) {
    extern __shared__ __align__(1024) unsigned char memory[];
    const unsigned shared = (unsigned)__cvta_generic_to_shared(memory);
    const int part = blockIdx.x % PARTS, group = threadIdx.x / GROUP, thread = threadIdx.x % GROUP;
    const int across = (job.width + TILE_COLUMNS - 1) / TILE_COLUMNS, down = (job.height + TILE_ROWS - 1) / TILE_ROWS;
    const int tiles = job.images * across * down, stride = gridDim.x / PARTS * GROUPS;
    const int begin = blockIdx.x / PARTS * GROUPS + group;

    const char* weights = (const char*)job.weights + (long long)part * WEIGHTS;
    for (int i = threadIdx.x * 16; i < WEIGHTS; i += GROUPS * GROUP * 16) copy16(shared + i, weights + i, true);
    commit_copies();
    const unsigned stages = shared + WEIGHTS + group * STAGES * STAGE;
    Loader loader{job, stages, begin, stride, tiles, across, down, thread};
    if (begin < tiles) loader.aim();
    wait_for_copies<0>();
    show_to_products();
    __syncthreads();
    for (int n = 0; n < STAGES - 1; ++n) {
        loader.copy<0, COPIES>();
        loader.end();
    }
    // Without a delay both groups would compute at the same time and write at the same time. With it one group
    // computes while the other writes.
    if (group) delay(4000);

    int stage = 0;
    float sums[UNITS][COLUMNS / 2];
    for (int tile = begin; tile < tiles; tile += stride) {
#pragma unroll 1
        for (int chunk = 0; chunk < CHUNKS; ++chunk) {
            wait_for_products();            // of the chunk before, whose stage is overwritten below
            wait_for_copies<STAGES - 2>();
            show_to_products();
            meet(group, GROUP);
            const unsigned long long a = matrix(stages + stage * STAGE, HALO_COLUMNS * EIGHTS);
            const unsigned long long b = matrix(shared + chunk * COLUMNS * EIGHTS * 16, 8 * EIGHTS);
            begin_products();
            Products<0>::start(sums, a, b, chunk, loader);
            commit_products();
            loader.end();
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
        wait_for_products();
        // Row r of a unit's 64 rows is pixel (r / 8, r % 8); a thread has rows 16 w + l / 4 and 16 w + l / 4 + 8.
        const Place at = place_of(tile, across, down);
        const int warp = thread / 32, lane = thread % 32, quad = lane % 4;
        const int first = part * OUTPUTS + (PLANES ? quad * 2 : quad * OWN);
#pragma unroll
        for (int unit = 0; unit < UNITS; ++unit)
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                float values[OWN];
                gather(values, sums, unit, half, lane);
                int x = unit % ACROSS * 8 + lane / 4 - STACKED;
                if (x >= 0 && x < TILE_COLUMNS)
                    finish(job, values, at.image, at.y + unit / ACROSS * 8 + warp * 2 + half, at.x + x, first);
            }
    }
}
