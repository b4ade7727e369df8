// SPDX-License-Identifier: Apache-2.0
// What Hopper has beyond older GPUs, as thin wrappers of its instructions (PTX ISA, sm_90a): barriers in shared memory
// that count bytes, bulk copies of tiles, and products of a warpgroup (wgmma). A warpgroup is 128 threads, 4 warps.
#pragma once

#include "hici/ops/cuda_types.cuh"

#include <cuda.h>

#include <cstdint>

namespace hici::ops::cuda {

__device__ inline unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// Bytes from `raw` in shared memory to the next multiple of 1,024, where swizzled tiles begin.
__device__ inline unsigned aligned_offset(const void* raw) { return -shared_address(raw) & 1023u; }

// ------------------------------------------------------------------------------------------------------ barriers
// A phase ends when `count` arrivals and all announced bytes are there. wait(b, parity) returns when the phase of this
// parity has ended; a new barrier is in phase 0, and the phase before it counts as ended.

__device__ inline void barrier_init(uint64_t* barrier, unsigned count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" : : "r"(shared_address(barrier)), "r"(count) : "memory");
}
// Other threads, and bulk copies, see barriers that were initialised before.
__device__ inline void fence_barrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" : : : "memory"); }

// Barriers of a ring of places: one thread fills a place, `readers` threads empty it.
template <int kPlaces>
__device__ void ring_init(uint64_t (&full)[kPlaces], uint64_t (&empty)[kPlaces], unsigned readers) {
  for (int i = 0; i < kPlaces; ++i) {
    barrier_init(&full[i], 1);
    barrier_init(&empty[i], readers);
  }
}

__device__ inline void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(shared_address(barrier)) : "memory");
}
// Arrives and announces bytes of bulk copies.
__device__ inline void barrier_expect(uint64_t* barrier, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
__device__ inline void barrier_wait(uint64_t* barrier, unsigned parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n"
      :
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
}

// Named barriers of `threads` threads, id 1 to 15: sync waits for all arrivals, arrive does not wait.
__device__ inline void named_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" : : "r"(id), "r"(threads) : "memory");
}
__device__ inline void named_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" : : "r"(id), "r"(threads) : "memory");
}

// Registers of each thread of this warpgroup from here on.
template <int kRegisters>
__device__ inline void keep_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(kRegisters));
}
template <int kRegisters>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(kRegisters));
}

// --------------------------------------------------------------------------------------------------- bulk copies

// The box at (column, row, group) of a three-dimensional tensor; elements outside of it are zeros.
__device__ inline void copy_box(void* to, const CUtensorMap* map, int column, int row, int group, uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], [%5];"
      :
      : "r"(shared_address(to)), "l"(map), "r"(column), "r"(row), "r"(group), "r"(shared_address(barrier))
      : "memory");
}

// `bytes` (a multiple of 16) from memory.
__device__ inline void copy_bytes(void* to, const void* from, unsigned bytes, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
               :
               : "r"(shared_address(to)), "l"(from), "r"(bytes), "r"(shared_address(barrier))
               : "memory");
}
// What this thread wrote to shared memory can be read by products and bulk copies after a barrier.
__device__ inline void fence_shared_writes() { asm volatile("fence.proxy.async.shared::cta;" : : : "memory"); }

// to[0..3] += d, 16 bytes, in one operation of the second cache.
__device__ inline void add_four(float* to, float d0, float d1, float d2, float d3) {
  asm volatile("red.global.add.v4.f32 [%0], {%1, %2, %3, %4};"
               :
               : "l"(to), "f"(d0), "f"(d1), "f"(d2), "f"(d3)
               : "memory");
}

// Stores four 8 x 8 matrices of 16-bit numbers as load_matrices() reads them.
__device__ inline void store_matrices(unsigned address, unsigned m0, unsigned m1, unsigned m2, unsigned m3) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};"
               :
               : "r"(address), "r"(m0), "r"(m1), "r"(m2), "r"(m3)
               : "memory");
}

// ------------------------------------------------------------------------------------------ products of a warpgroup
// d [64, N] += a [64, 16] b [16, N] in float32. Of d thread t holds rows 16 (t / 32) + t % 32 / 4 and 8 more: d[4 j]
// and d[4 j + 1] are columns 8 j + 2 (t % 4) and the next one of the first row, d[4 j + 2] and d[4 j + 3] of the
// second. Operands in shared memory are tiles of rows of 128 bytes, swizzled as bulk copies write them (SWIZZLE_128B),
// whose first row lies on 1,024 bytes.

// An operand whose rows run along the sum: 64 numbers of it in a row. 16 further numbers: 32 bytes.
__device__ inline uint64_t row_operand(const void* tile) {
  return (shared_address(tile) & 0x3ffffu) >> 4 | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
}
// An operand whose rows run across the sum: row k holds 64 of N numbers; the next 64 lie `bytes` further. 16 further
// rows: 2,048 bytes.
__device__ inline uint64_t column_operand(const void* tile, unsigned bytes) {
  return (shared_address(tile) & 0x3ffffu) >> 4 | uint64_t{bytes >> 4} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}
__device__ inline uint64_t advanced(uint64_t operand, unsigned bytes) { return operand + (bytes >> 4); }

// Before the first product, and before a product that reads or adds to registers that were written since.
__device__ inline void fence_products() { asm volatile("wgmma.fence.sync.aligned;" : : : "memory"); }
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory"); }
// All but the last `kLater` committed groups are done.
template <int kLater>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(kLater) : "memory");
}
// Keeps the compiler from moving reads and writes of registers across this place.
template <int kCount>
__device__ inline void hold(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i]) : : "memory");
}

#define HICI_D8(i) \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7])
#define HICI_D16(i) HICI_D8(i), HICI_D8(i + 8)
#define HICI_D32(i) HICI_D16(i), HICI_D16(i + 16)
#define HICI_D64(i) HICI_D32(i), HICI_D32(i + 32)
#define HICI_NAMES8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define HICI_NAMES16 HICI_NAMES8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define HICI_NAMES32 HICI_NAMES16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HICI_NAMES64 \
  HICI_NAMES32 \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, " \
  "%53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

template <typename T, int N>
struct WarpgroupProduct;

// The operands behind the N / 2 registers of d are numbered by hand, because the assembler wants literal numbers.
#define HICI_WARPGROUP_PRODUCT(T, TYPE, N, COUNT, I0, I1, I2, I3, I4, I5, I6) \
  template <> \
  struct WarpgroupProduct<T, N> { \
    /* Both operands in shared memory, with kAcross as column_operand(). Adds to d if `adds`, else sets it. */ \
    template <bool kAcrossA, bool kAcrossB> \
    __device__ static void run(float* d, uint64_t a, uint64_t b, bool adds) { \
      asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %" I2 \
                   ", 0;\n" \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" HICI_NAMES##COUNT \
                   "}, %" I0 ", %" I1 ", adds, 1, 1, %" I3 ", %" I4 ";\n}\n" \
                   : HICI_D##COUNT(0) \
                   : "l"(a), "l"(b), "r"(static_cast<int>(adds)), "n"(kAcrossA ? 1 : 0), "n"(kAcrossB ? 1 : 0)); \
    } \
    /* The left operand in registers: a[0] to a[3] hold columns as 8 numbers of a d do, two in each. */ \
    template <bool kAcrossB> \
    __device__ static void run(float* d, const unsigned* a, uint64_t b, bool adds) { \
      asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %" I5 \
                   ", 0;\n" \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" HICI_NAMES##COUNT \
                   "}, {%" I0 ", %" I1 ", %" I2 ", %" I3 "}, %" I4 ", adds, 1, 1, %" I6 ";\n}\n" \
                   : HICI_D##COUNT(0) \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(adds)), \
                     "n"(kAcrossB ? 1 : 0)); \
    } \
  };
#define HICI_WARPGROUP_PRODUCTS(T, TYPE) \
  HICI_WARPGROUP_PRODUCT(T, TYPE, 16, 8, "8", "9", "10", "11", "12", "13", "14") \
  HICI_WARPGROUP_PRODUCT(T, TYPE, 32, 16, "16", "17", "18", "19", "20", "21", "22") \
  HICI_WARPGROUP_PRODUCT(T, TYPE, 64, 32, "32", "33", "34", "35", "36", "37", "38") \
  HICI_WARPGROUP_PRODUCT(T, TYPE, 128, 64, "64", "65", "66", "67", "68", "69", "70")
HICI_WARPGROUP_PRODUCTS(__nv_bfloat16, "bf16")
HICI_WARPGROUP_PRODUCTS(__half, "f16")
#undef HICI_WARPGROUP_PRODUCTS
#undef HICI_WARPGROUP_PRODUCT
#undef HICI_D8
#undef HICI_D16
#undef HICI_D32
#undef HICI_D64
#undef HICI_NAMES8
#undef HICI_NAMES16
#undef HICI_NAMES32
#undef HICI_NAMES64

// Two numbers of the element type in a register, `low` first in memory.
template <typename T>
__device__ unsigned packed(float low, float high);
template <>
__device__ inline unsigned packed<__nv_bfloat16>(float low, float high) {
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
template <>
__device__ inline unsigned packed<__half>(float low, float high) {
  unsigned both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

}  // namespace hici::ops::cuda
