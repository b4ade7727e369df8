// SPDX-License-Identifier: Apache-2.0
// The CUDA kernels against the same ops on the CPU in float64, values and gradients. Fails, not skips, without a GPU:
// only lanes that have one run the label `gpu`.
#include "hici/device/cuda_plugin.h"
#include "hici/device/device_graph.h"
#include "hici/device/kernel_table.h"
#include "hici/device/side_stream.h"
#include "hici/ops/accumulate.h"
#include "hici/ops/attention_heads.h"
#include "hici/ops/cached_attention.h"
#include "hici/ops/dual_chunk_attention.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/ops/lora_linear.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/segment_attention.h"
#include "hici/ops/segment_cross_attention.h"
#include "hici/ops/slot_statistics.h"
#include "hici/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

namespace hici::ops {
namespace {

struct Precision {
  at::ScalarType type;
  double tolerance;  // relative to the largest value: the roundings of a few operations in that type
};

class GpuKernelsTest : public ::testing::TestWithParam<Precision> {
 protected:
  static void SetUpTestSuite() { device::require_cuda_device("cuda:0", 0); }
  void SetUp() override { at::manual_seed(1); }

  // `f` on the inputs rounded to the type under test, on the GPU in that type and on the CPU in float64.
  void compare(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
               const std::vector<at::Tensor>& inputs) {
    const at::Tensor cotangent = rounded(at::randn_like(f(inputs)));
    const auto expected = value_and_gradients(f, inputs, cotangent, at::kDouble, at::kCPU);
    const auto got = value_and_gradients(f, inputs, cotangent, GetParam().type, at::kCUDA);
    for (size_t i = 0; i < expected.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "result " << i);
      expect_near(got[i], expected[i]);
    }
  }

  // Relative to the largest of `expected`, which is in float64 on the CPU.
  static void expect_near(const at::Tensor& got, const at::Tensor& expected) {
    const double difference = (got.cpu().to(at::kDouble) - expected).abs().max().item<double>();
    EXPECT_LE(difference, GetParam().tolerance * expected.abs().max().item<double>());
  }

 private:
  at::Tensor rounded(const at::Tensor& t) const { return t.to(GetParam().type).to(at::kDouble); }

  std::vector<at::Tensor> value_and_gradients(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                                              const std::vector<at::Tensor>& inputs, const at::Tensor& cotangent,
                                              at::ScalarType type, at::DeviceType device) const {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& input : inputs) {
      leaves.push_back(rounded(input).to(device, type).detach().requires_grad_());
    }
    const at::Tensor y = f(leaves);
    std::vector<at::Tensor> results = torch::autograd::grad({y}, leaves, {cotangent.to(device, type)});
    results.push_back(y.detach());
    return results;
  }
};

at::Tensor random(at::IntArrayRef shape) { return at::randn(shape, at::TensorOptions().dtype(at::kDouble)); }

TEST_P(GpuKernelsTest, RmsNormMatchesCpu) {
  for (const int64_t width : {8, 100, 128, 192, 4096}) {
    compare([](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-5); },
            {random({37, width}), random({width})});
  }
}

// More rows than the backward has blocks; and wider than it stages.
TEST_P(GpuKernelsTest, RmsNormOfManyOrWideRowsMatchesCpu) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1000, 1024}, {40, 8192}, {20, 12000}}) {
    compare([](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-5); },
            {random({rows, width}), random({width})});
  }
}

// Rows as the heads of QK-norm are, more than the blocks of the backward take at once.
TEST_P(GpuKernelsTest, RmsNormOfManyNarrowRowsMatchesCpu) {
  compare([](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-5); },
          {random({20011, 128}), random({128})});
}

TEST_P(GpuKernelsTest, PlacedHeadsMatchCpu) {
  for (const int64_t half : {4, 8, 64}) {  // in single elements, and in packs
    const std::vector<double> frequencies(static_cast<size_t>(half), 0.1);
    auto place = [&](const std::vector<at::Tensor>& in) {
      const RotaryTables tables =
          make_rotary_tables(frequencies, 1.0, 5, in[0].size(1), in[0].scalar_type(), in[0].device());
      const AttentionHeads heads = prepare_qkv({in[0], in[1], in[2], in[3], in[4]}, tables, 11);
      return at::cat({heads.q_GSHD.flatten(), heads.k_GKJD.flatten(), heads.v_GKJD.flatten()});
    };
    const at::Tensor tokens = random({2, 33, 3, 2 * half}), slots = random({6, 5, 1, 2 * half});
    compare(place, {tokens, random({2, 33, 1, 2 * half}), random({2, 33, 1, 2 * half}), slots, random(slots.sizes())});
  }
}

TEST_P(GpuKernelsTest, SwiGluMatchesCpu) {
  compare([](const std::vector<at::Tensor>& in) { return swiglu(in[0], in[1]); },
          {random({17, 1001}), random({17, 1001})});
}

TEST_P(GpuKernelsTest, AddedAndNormedMatchesCpu) {
  for (const int64_t width : {100, 4096}) {
    auto both = [](const std::vector<at::Tensor>& in) {
      const NormedSum out = add_rms_norm(in[0], in[1], in[2], 1e-5);
      return at::cat({out.sum * out.sum, out.normed});
    };
    compare(both, {random({37, width}), random({37, width}), random({width})});
  }
}

TEST_P(GpuKernelsTest, NormReadTwiceMatchesCpu) {
  for (const int64_t width : {24, 256, 1000, 4096}) {
    auto twice = [](const std::vector<at::Tensor>& in) {
      const NormedSum out = add_rms_norm(in[0], {}, in[1], 1e-5);
      return at::cat({out.sum, out.normed * out.normed, out.normed_for_slots * out.normed.detach()});
    };
    compare(twice, {random({37, width}), random({width})});
  }
}

TEST_P(GpuKernelsTest, LoraLinearsMatchCpu) {
  auto two = [](const std::vector<at::Tensor>& in) {
    return at::cat(lora_linears(in[0], {{in[1], in[2], in[3], 2.0}, {in[4]}}), -1);
  };
  compare(two, {random({2, 33, 64}), random({48, 64}), random({8, 64}), random({48, 8}), random({40, 64})});
}

// Widths, ranks and numbers of rows for which the adapters' backward is one pass over the gradient, and others.
TEST_P(GpuKernelsTest, LoraLinearsOfManyRowsMatchCpu) {
  struct Shape {
    int64_t rows, width, second_width, rank;
  };
  const Shape shapes[] = {{129, 256, 512, 8},   {1000, 512, 256, 8}, {333, 128, 384, 16},
                          {2100, 1024, 40, 16}, {200, 96, 256, 4},   {150, 256, 100, 8}};
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows to " << s.width << " and " << s.second_width << ", rank "
                                      << s.rank);
    auto two = [](const std::vector<at::Tensor>& in) {
      return at::cat(lora_linears(in[0], {{in[1], in[2], in[3], 2.0}, {in[4], in[5], in[6], 0.5}}), -1);
    };
    compare(two, {random({s.rows, 64}), random({s.width, 64}), random({s.rank, 64}), random({s.width, s.rank}),
                  random({s.second_width, 64}), random({s.rank, 64}), random({s.second_width, s.rank})});
  }
}

// What decoding runs: one row to more than the kernel takes, widths that end within a tile or that it does not take,
// with and without adapters.
TEST_P(GpuKernelsTest, LinearsOfADecodeStepMatchCpu) {
  struct Shape {
    int64_t rows, in;
    std::vector<int64_t> widths;
    int64_t rank;
  };
  const Shape shapes[] = {{1, 4096, {4096, 1024, 1024}, 0}, {8, 1088, {33, 16, 200}, 8}, {3, 14336, {100}, 16},
                          {5, 64, {7, 40, 16, 1}, 4},       {9, 128, {64}, 8},           {2, 72, {48, 24}, 8},
                          {2, 64, {8, 8, 8, 8, 8}, 0}};
  const at::NoGradGuard no_grad;
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows of " << s.in << " to " << s.widths[0] << " and others, rank "
                                      << s.rank);
    auto drawn = [](at::IntArrayRef shape) { return random(shape).to(GetParam().type); };
    const at::Tensor x = drawn({s.rows, 1, s.in});
    std::vector<LoraWeights> on_gpu, on_cpu;
    for (const int64_t width : s.widths) {
      // The second layer has no adapter.
      const bool has_adapter = s.rank > 0 && on_gpu.size() != 1;
      const at::Tensor weight = drawn({width, s.in}), a = drawn({s.rank, s.in}), b = drawn({width, s.rank});
      auto layer = [&](auto place) {
        return has_adapter ? LoraWeights{place(weight), place(a), place(b), 0.5} : LoraWeights{place(weight)};
      };
      on_gpu.push_back(layer([](const at::Tensor& t) { return t.cuda(); }));
      on_cpu.push_back(layer([](const at::Tensor& t) { return t.to(at::kDouble); }));
    }
    const std::vector<at::Tensor> got = lora_linears(x.cuda(), on_gpu),
                                  expected = lora_linears(x.to(at::kDouble), on_cpu);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(got[i].sizes(), expected[i].sizes());
      expect_near(got[i], expected[i]);
    }
  }
}

// What is computed for another stream does not lose SMs to it: the budget is for the side stream alone.
TEST(GpuSideStreamTest, IsTheCurrentOneInsideAlone) {
  device::require_cuda_device("cuda:0", 0);
  const at::Device device(at::kCUDA, 0);
  EXPECT_FALSE(device::SideStream::is_current(device));
  EXPECT_FALSE(device::SideStream::is_current(at::Device(at::kCPU)));
  device::SideStream side_stream(device);
  bool is_current_inside = false;
  side_stream.run({}, [&](const auto&) {
    is_current_inside = device::SideStream::is_current(device);
    return std::vector<at::Tensor>{};
  });
  EXPECT_TRUE(is_current_inside);
  EXPECT_FALSE(device::SideStream::is_current(device));
}

TEST_P(GpuKernelsTest, ReadSegmentsMatchesCpu) {
  auto read = [](const std::vector<at::Tensor>& in) { return segment_cross_attention(in[0], in[1], {}); };
  compare(read, {random({3, 65, 64}), random({16, 64}) * 0.1});
}

TEST_P(GpuKernelsTest, SlotStatisticsMatchCpu) {
  for (const int64_t width : {100, 4096}) {
    compare([](const std::vector<at::Tensor>& in) { return ops::statistics_of_all(in[0]); },
            {random({2, 4, 8, width})});
  }
}

// Sums of the slots of three segments on top of those of one before them; statistics at each row, and the last sums.
// Whole numbers are tied within segments and between them.
TEST_P(GpuKernelsTest, RunningSumsAndTheirStatisticsMatchCpu) {
  for (const int64_t width : {100, 4096}) {
    for (const bool whole_numbers : {false, true}) {
      auto slots = [&](std::vector<int64_t> shape) {
        return whole_numbers ? at::randint(-1, 2, shape, at::kDouble) : random(shape);
      };
      const at::Tensor before = slots({2, 8, width}), added = slots({2, 3, 8, width});
      for (const int64_t row : {0, 1, 3}) {
        SCOPED_TRACE(::testing::Message() << width << " columns, row " << row << ", whole " << whole_numbers);
        auto around = [&](const std::vector<at::Tensor>& in) {
          const at::Tensor sums = sums_of_slots(in[1].flatten(0, 1)).unflatten(0, {2, 3});
          const RunningSums running = running_sums(sums_of_slots(in[0]), sums, row);
          return at::cat({statistics_of_sums(running.at_row_B4C, {.first = 8 * (row + 1)}), running.last_B4C}, 1);
        };
        compare(around, {before, added});
      }
      compare([](const std::vector<at::Tensor>& in) { return ops::statistics_up_to_each(in[0]); }, {added});
    }
  }
}

// A vocabulary in packs and one that is not; labels and the ignored label among them.
TEST_P(GpuKernelsTest, CrossEntropyMatchesCpu) {
  for (const int64_t vocabulary : {1000, 1003}) {
    at::Tensor labels = at::randint(vocabulary, {41}, at::kLong);
    labels[3].fill_(kIgnoredLabel);
    compare(
        [&](const std::vector<at::Tensor>& in) {
          return linear_cross_entropy(in[0], in[1], labels.to(in[0].device()));
        },
        {random({41, 32}) * 0.3, random({vocabulary, 32})});
  }
}

TEST_P(GpuKernelsTest, TokenScoresMatchCpu) {
  const at::Tensor hidden = random({41, 32}).to(GetParam().type), weight = random({1003, 32}).to(GetParam().type);
  const at::Tensor targets = at::randint(1003, {41}, at::kLong);
  const TokenScores got = score_tokens(hidden.cuda(), weight.cuda(), targets.cuda());
  const TokenScores expected = score_tokens(hidden.to(at::kDouble), weight.to(at::kDouble), targets);
  const at::Tensor difference = (got.log_likelihood.cpu().to(at::kDouble) - expected.log_likelihood).abs().max();
  EXPECT_LE(difference.item<double>(), GetParam().tolerance * expected.log_likelihood.abs().max().item<double>());
  // In bf16 two logits may round to one value; then another of the two is the first.
  const int64_t different = got.argmax.cpu().ne(expected.argmax).sum().item<int64_t>();
  EXPECT_LE(different, GetParam().type == at::kFloat ? 0 : 4);
}

struct AttentionShape {
  int64_t segments, length, prefix, heads, kv_heads, head_dim;
};

// Every backend that takes the type, over head sizes, groups of 1 to 8, prefixes of 0 to 32, and lengths from 1.
TEST_P(GpuKernelsTest, SegmentAttentionOfEveryBackendMatchesCpu) {
  const AttentionShape shapes[] = {{2, 1, 12, 4, 4, 64},     {3, 129, 12, 8, 8, 128}, {2, 200, 32, 8, 1, 64},
                                   {1, 300, 0, 6, 3, 96},    {2, 77, 1, 8, 2, 128},   {1, 513, 12, 4, 1, 96},
                                   {4, 256, 12, 8, 2, 128},  {1, 3, 5, 8, 4, 64},     {2, 700, 16, 4, 2, 128},
                                   {1, 1100, 17, 8, 2, 128}, {3, 64, 0, 2, 2, 128},   {2, 385, 31, 4, 4, 64}};
  for (const AttentionBackend backend :
       {AttentionBackend::kHopper, AttentionBackend::kCudnn, AttentionBackend::kFlash, AttentionBackend::kMath}) {
    for (const AttentionShape& s : shapes) {
      const AttentionProblem problem{at::Device(at::kCUDA, 0), GetParam().type, s.head_dim, s.prefix};
      if (!why_not(backend, problem).empty()) continue;
      SCOPED_TRACE(std::string(name_of(backend)) + " S " + std::to_string(s.length) + " P " + std::to_string(s.prefix) +
                   " D " + std::to_string(s.head_dim));
      auto attend = [&](const std::vector<at::Tensor>& in) {
        return segment_attention(in[0], in[1], in[2], in[0].is_cuda() ? backend : AttentionBackend::kMath);
      };
      compare(attend, {random({s.segments, s.length, s.heads, s.head_dim}),
                       random({s.segments, s.prefix + s.length, s.kv_heads, s.head_dim}),
                       random({s.segments, s.prefix + s.length, s.kv_heads, s.head_dim})});
    }
  }
}

// As a layer runs it: queries with rows in front, the output read where it stands, its gradient with rows in front.
TEST_P(GpuKernelsTest, PlacedHeadsThroughAttentionAndProjectionMatchCpu) {
  const std::vector<double> frequencies(32, 0.1);
  for (const int64_t prefix : {1, 12}) {
    auto layer = [&](const std::vector<at::Tensor>& in) {
      const RotaryTables tables =
          make_rotary_tables(frequencies, 1.0, 5, in[0].size(1), in[0].scalar_type(), in[0].device());
      const AttentionHeads heads = prepare_qkv({in[0], in[1], in[2], in[3], in[4]}, tables, 50);
      const at::Tensor out = segment_attention(heads);
      return lora_linears(out.flatten(-2), {{in[5], in[6], in[7], 2.0}})[0];
    };
    compare(layer,
            {random({2, 150, 4, 64}), random({2, 150, 2, 64}), random({2, 150, 2, 64}), random({6, prefix, 2, 64}),
             random({6, prefix, 2, 64}), random({96, 256}), random({8, 256}), random({96, 8})});
  }
}

// Values with room for the slots, which are written there: the gradient of v has rows between its segments.
TEST_P(GpuKernelsTest, ProjectionsWithRoomMatchCpu) {
  const std::vector<double> frequencies(32, 0.1);
  auto layer = [&](const std::vector<at::Tensor>& in) {
    const std::vector<at::Tensor> qkv =
        lora_linears(in[0], {{in[1], in[2], in[3], 2.0}, {in[4], in[2], in[5], 2.0}, {in[6], in[2], in[7], 2.0}},
                     {.reserves_sms = true, .segment_length = 50, .rows_before = {0, 0, 12}});
    auto heads = [](const at::Tensor& t) { return t.view({t.size(0), t.size(1), 4, 64}); };
    QkvProjections projections{heads(qkv[0]), heads(qkv[1]), heads(qkv[2]), in[8], in[9]};
    projections.v_has_prefix_rows = true;
    const RotaryTables tables = make_rotary_tables(frequencies, 1.0, 5, 150, in[0].scalar_type(), in[0].device());
    const AttentionHeads placed = prepare_qkv(projections, tables, 50);
    return at::cat({placed.q_GSHD.flatten(), placed.k_GKJD.flatten(), placed.v_GKJD.flatten()});
  };
  const at::Tensor weight = random({256, 64}) * 0.1, b = random({256, 8}) * 0.1, slots = random({3, 12, 4, 64});
  compare(layer, {random({1, 150, 64}), weight, random({8, 64}) * 0.1, b, weight, b, weight, b, slots, slots});
}

// Groups of 1 to 8 query heads, head sizes of 1 to 32 threads in either type and one that the kernel does not take, few
// rows and many splits, rows in front that are left out.
TEST_P(GpuKernelsTest, DecodingOverACacheMatchesCpu) {
  struct Shape {
    int64_t batch, rows, heads, kv_heads, head_dim, skipped;
  };
  const Shape shapes[] = {{1, 1, 4, 4, 64, 0},    {3, 700, 8, 8, 128, 12},  {2, 5000, 8, 2, 128, 0},
                          {2, 300, 10, 2, 64, 1}, {1, 20000, 8, 1, 128, 0}, {2, 90, 6, 3, 96, 5},
                          {4, 129, 12, 4, 16, 0}, {1, 2048, 32, 8, 128, 3}};
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows, " << s.heads << " over " << s.kv_heads << " heads of "
                                      << s.head_dim);
    const auto type = GetParam().type;
    const at::Tensor q = random({s.batch, s.heads, s.head_dim}).to(type);
    const at::Tensor k = random({s.batch, s.rows + s.skipped, s.kv_heads, s.head_dim}).to(type);
    const at::Tensor v = random(k.sizes()).to(type);
    at::Tensor lengths = at::randint(1, s.rows + 1, {s.batch}, at::kLong);
    lengths[0] = s.rows;
    auto behind = [&](const at::Tensor& t) { return t.narrow(1, s.skipped, s.rows); };
    const at::Tensor got = decode_attention(q.cuda(), behind(k.cuda()), behind(v.cuda()), lengths.cuda());
    const at::Tensor expected = decode_attention(q.to(at::kDouble), behind(k.to(at::kDouble)).contiguous(),
                                                 behind(v.to(at::kDouble)).contiguous(), lengths);
    expect_near(got, expected);
  }
}

// Equal to the last bit; rows that are no packs go another way.
TEST_P(GpuKernelsTest, RowsOfACacheAreWrittenWhereTheyBelong) {
  const auto type = GetParam().type;
  for (const int64_t head_dim : {64, 128, 3}) {
    const at::Tensor k_cache = random({3, 50, 2, head_dim}).to(type).cuda(), v_cache = k_cache.neg();
    at::Tensor k_expected = k_cache.cpu(), v_expected = v_cache.cpu();
    const at::Tensor k = random({3, 2, head_dim}).to(type).cuda(), v = random(k.sizes()).to(type).cuda();
    const at::Tensor rows = at::tensor({49, 50, 103}, at::kLong);
    write_cache_rows(k_cache, v_cache, rows.cuda(), k, v);
    k_expected.flatten(0, 1).index_copy_(0, rows, k.cpu());
    v_expected.flatten(0, 1).index_copy_(0, rows, v.cpu());
    EXPECT_TRUE(at::equal(k_cache.cpu(), k_expected)) << head_dim;
    EXPECT_TRUE(at::equal(v_cache.cpu(), v_expected)) << head_dim;
  }
}

// Chunks shorter than a block's rows, that end within one, longer than the cache; the masked form (heads of 96) too.
TEST_P(GpuKernelsTest, DecodingWithDualChunkAttentionMatchesCpu) {
  struct Shape {
    int64_t batch, rows, heads, kv_heads, head_dim, chunk_len;
  };
  const Shape shapes[] = {{3, 700, 8, 8, 128, 100},    {2, 5000, 8, 2, 128, 1111}, {2, 300, 10, 2, 64, 7},
                          {1, 20000, 8, 1, 128, 3000}, {2, 90, 6, 3, 96, 20},      {4, 129, 12, 4, 16, 64},
                          {1, 2048, 32, 8, 128, 4096}, {8, 12, 4, 2, 64, 4}};
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows in chunks of " << s.chunk_len << ", " << s.heads << " over "
                                      << s.kv_heads << " heads of " << s.head_dim);
    const auto type = GetParam().type;
    const at::Tensor q = random({3, s.batch, s.heads, s.head_dim}).to(type);
    const at::Tensor k = random({s.batch, s.rows, s.kv_heads, s.head_dim}).to(type), v = random(k.sizes()).to(type);
    at::Tensor lengths = at::randint(1, s.rows + 1, {s.batch}, at::kLong);
    lengths[0] = s.rows;
    const at::Tensor got = decode_dual_chunk_attention(q.cuda(), k.cuda(), v.cuda(), lengths.cuda(), s.chunk_len);
    const at::Tensor expected =
        decode_dual_chunk_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), lengths, s.chunk_len);
    expect_near(got, expected);
  }
}

// A cache of several sequences, whose rows are apart; queries from the beginning and behind rows.
TEST_P(GpuKernelsTest, DualChunkAttentionMatchesCpu) {
  const auto type = GetParam().type;
  for (const auto& [before, length] : {std::pair<int64_t, int64_t>{0, 500}, {130, 200}, {499, 1}}) {
    const int64_t rows = before + length;
    const at::Tensor q = random({3, 2, length, 8, 64}).to(type);
    const at::Tensor k = random({2, 600, 2, 64}).to(type), v = random(k.sizes()).to(type);
    auto seen = [&](const at::Tensor& t) { return t.narrow(1, 0, rows); };
    const at::Tensor got = dual_chunk_attention(q.cuda(), seen(k.cuda()), seen(v.cuda()), 100, AttentionBackend::kAuto);
    const at::Tensor expected = dual_chunk_attention(q.to(at::kDouble), seen(k.to(at::kDouble)),
                                                     seen(v.to(at::kDouble)), 100, AttentionBackend::kMath);
    const double difference = (got.cpu().to(at::kDouble) - expected).abs().max().item<double>();
    EXPECT_LE(difference, GetParam().tolerance * expected.abs().max().item<double>()) << before;
  }
}

TEST_P(GpuKernelsTest, HeadsPlacedForDualChunkAttentionMatchCpu) {
  const std::vector<double> inverse{1, 0.5, 0.25, 0.125, 0.1, 0.05, 0.02, 0.01};
  auto place = [&](at::ScalarType type, at::Device device, const std::vector<at::Tensor>& in) {
    auto on = [&](const at::Tensor& t) { return t.to(GetParam().type).to(device, type); };
    const DualChunkTables tables =
        make_dual_chunk_tables(make_rotary_frequencies(inverse, 1.0, device), {.chunk_len = 10, .chunk_size = 13},
                               at::arange(33, at::TensorOptions().dtype(at::kLong).device(device)), type);
    const DualChunkHeads heads =
        prepare_dual_chunk_qkv({on(in[0]), on(in[1]), on(in[1]), {}, {}, on(in[2]), on(in[2]), 1e-6}, tables);
    return at::cat({heads.q_3BTHD.flatten(), heads.k_BTJD.flatten()}).cpu().to(at::kDouble);
  };
  const std::vector<at::Tensor> in{random({2, 33, 4, 16}), random({2, 33, 2, 16}), random({16})};
  const at::Tensor expected = place(at::kDouble, at::kCPU, in), got = place(GetParam().type, {at::kCUDA, 0}, in);
  EXPECT_LE((got - expected).abs().max().item<double>(), GetParam().tolerance * expected.abs().max().item<double>());
}

TEST_P(GpuKernelsTest, ChunksOverACacheMatchCpu) {
  for (const int64_t before : {0, 1, 300}) {
    const auto type = GetParam().type;
    const at::Tensor q = random({1, 70, 8, 64}).to(type), k = random({1, before + 70, 2, 64}).to(type);
    const at::Tensor v = random(k.sizes()).to(type);
    const at::Tensor got = prefill_attention(q.cuda(), k.cuda(), v.cuda(), AttentionBackend::kAuto);
    const at::Tensor expected =
        prefill_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), AttentionBackend::kMath);
    const double difference = (got.cpu().to(at::kDouble) - expected).abs().max().item<double>();
    EXPECT_LE(difference, GetParam().tolerance * expected.abs().max().item<double>()) << before;
  }
}

// More pairs than one launch takes, of every alignment, some of several chunks and some of none: one rounding each, so
// equal to the last bit.
TEST(GpuAccumulateTest, SumsAreThoseOfTheCpu) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(1);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat}) {
    std::vector<at::Tensor> gradients, sums, expected;
    for (int64_t i = 0; i < 300; ++i) {
      const int64_t count = i == 7 ? 0 : i % 50 == 3 ? 70001 + i : 1 + 13 * i;
      gradients.push_back(
          at::randn({count + 1}, at::TensorOptions().device(at::kCUDA).dtype(type)).narrow(0, i % 2, count));
      sums.push_back(at::randn({count}, at::TensorOptions().device(at::kCUDA).dtype(at::kFloat)));
      expected.push_back(sums.back().cpu() + gradients.back().cpu().to(at::kFloat));
    }
    accumulate(gradients, sums);
    for (size_t i = 0; i < sums.size(); ++i) EXPECT_TRUE(at::equal(sums[i].cpu(), expected[i])) << i;
  }
}

TEST(DeviceGraphTest, ARecordedStepDoesTheSameWorkAgainAndAgain) {
  device::require_cuda_device("cuda:0", 0);
  at::Tensor x = at::ones({1000}, at::TensorOptions().device(at::kCUDA));
  device::DeviceGraph step({at::kCUDA, 0}, [&] { x.copy_(x * 2 + 1); });
  for (int i = 0; i < 5; ++i) step.run();
  EXPECT_TRUE(step.is_recorded());
  EXPECT_TRUE(x.eq(63).all().item<bool>());  // 1, 3, 7, 15, 31, 63
}

// In float16 every weight and gradient has 11 bits, so that a wrong row or factor shows that bfloat16 would hide.
// Segments of several tiles, more of them than the card has multiprocessors, groups, slots in one and in two parts,
// lengths that end inside a tile, queries and output gradients with row gaps; twice, because a launch leaves its
// counter behind.
TEST(GpuAttentionTest, HopperMatchesFloat64InFloat16) {
  device::require_cuda_device("cuda:0", 0);
  const AttentionShape shapes[] = {{3, 1000, 12, 8, 2, 128},
                                   {12, 520, 17, 16, 16, 128},
                                   {2, 2048, 0, 4, 4, 128},
                                   {5, 777, 32, 6, 3, 64},
                                   {40, 130, 1, 8, 8, 64}};
  for (const AttentionShape& s : shapes) {
    const AttentionProblem problem{at::Device(at::kCUDA, 0), at::kHalf, s.head_dim, s.prefix};
    if (device::cuda_kernels().device_capability(0) != 90) GTEST_SKIP() << "needs a GPU of sm_90";
    ASSERT_EQ(why_not(AttentionBackend::kHopper, problem), "");
    SCOPED_TRACE(std::to_string(s.segments) + " S " + std::to_string(s.length) + " P " + std::to_string(s.prefix));
    at::manual_seed(static_cast<uint64_t>(s.length));
    const auto half = at::TensorOptions().dtype(at::kHalf).device(at::kCUDA);
    const at::Tensor q = at::randn({s.segments, s.length + 3, s.heads, s.head_dim}, half).narrow(1, 3, s.length);
    const at::Tensor k = at::randn({s.segments, s.prefix + s.length, s.kv_heads, s.head_dim}, half);
    const at::Tensor v = at::randn_like(k);
    const at::Tensor dout = at::randn({s.segments, s.length + 5, s.heads, s.head_dim}, half).narrow(1, 5, s.length);
    const auto gradients = [&](at::ScalarType type, AttentionBackend backend) {
      std::vector<at::Tensor> in;
      for (const at::Tensor& t : {q, k, v})
        in.push_back((type == at::kHalf ? t : t.to(type)).detach().requires_grad_(true));
      at::Tensor out = segment_attention(in[0], in[1], in[2], backend);
      std::vector<at::Tensor> results = torch::autograd::grad({out}, in, {dout.to(type)});
      results.push_back(out.detach());
      return results;
    };
    const std::vector<at::Tensor> expected = gradients(at::kDouble, AttentionBackend::kMath);
    for (int run = 0; run < 2; ++run) {
      const std::vector<at::Tensor> got = gradients(at::kHalf, AttentionBackend::kHopper);
      for (size_t i = 0; i < got.size(); ++i) {
        const double error = (got[i].to(at::kDouble) - expected[i]).norm().item<double>();
        EXPECT_LT(error, 1e-3 * expected[i].norm().item<double>()) << "run " << run << " result " << i;
      }
      // The slots' own rows: few among many, so that a norm over all would hide them.
      for (size_t i = 1; i < 3 && s.prefix > 0; ++i) {
        const at::Tensor slots = expected[i].narrow(1, 0, s.prefix);
        const double error = (got[i].narrow(1, 0, s.prefix).to(at::kDouble) - slots).norm().item<double>();
        EXPECT_LT(error, 1e-3 * slots.norm().item<double>()) << "run " << run << " slots of " << i;
      }
    }
  }
}

// Scores of all signs and sizes: a row's maximum moves often, and slots' log-sum-exp is far below 0.
TEST(GpuAttentionTest, HopperTakesLargeScores) {
  device::require_cuda_device("cuda:0", 0);
  if (device::cuda_kernels().device_capability(0) != 90) GTEST_SKIP() << "needs a GPU of sm_90";
  const auto options = at::TensorOptions().dtype(at::kBFloat16).device(at::kCUDA);
  for (const double offset : {-30.0, 0.0, 30.0}) {
    at::manual_seed(5);
    const at::Tensor q = at::randn({2, 640, 4, 128}, options) * 3 + std::abs(offset) / 4;
    const at::Tensor k = at::randn({2, 652, 4, 128}, options) * 3 + offset / 4, v = at::randn_like(k);
    const at::Tensor got = segment_attention(q, k, v, AttentionBackend::kHopper);
    const at::Tensor expected =
        segment_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), AttentionBackend::kMath);
    EXPECT_LT((got.to(at::kDouble) - expected).norm().item<double>(), 5e-3 * expected.norm().item<double>()) << offset;
  }
}

// Scores of the diagonal's tile that are beyond float32, before others that are not: weights of 0, not NaN.
TEST(GpuAttentionTest, HopperTakesScoresOfMinusInfinity) {
  device::require_cuda_device("cuda:0", 0);
  if (device::cuda_kernels().device_capability(0) != 90) GTEST_SKIP() << "needs a GPU of sm_90";
  const auto options = at::TensorOptions().dtype(at::kBFloat16).device(at::kCUDA);
  at::manual_seed(6);
  const at::Tensor q = at::randn({1, 256, 2, 128}, options), k = at::randn_like(q), v = at::randn_like(q);
  q.select(3, 0).fill_(1e20);
  k.select(3, 0).zero_();
  k.narrow(1, 128, 128).select(3, 0).fill_(-1e20);
  const at::Tensor got = segment_attention(q, k, v, AttentionBackend::kHopper);
  const at::Tensor expected =
      segment_attention(q.to(at::kDouble), k.to(at::kDouble), v.to(at::kDouble), AttentionBackend::kMath);
  EXPECT_LT((got.to(at::kDouble) - expected).norm().item<double>(), 5e-3 * expected.norm().item<double>());
}

// The gradient of a sum over segments is one segment, expanded: all of them lie on one another.
TEST(GpuAttentionTest, TakesAnExpandedGradient) {
  device::require_cuda_device("cuda:0", 0);
  for (const AttentionBackend backend : {AttentionBackend::kHopper, AttentionBackend::kCudnn}) {
    if (!why_not(backend, {at::Device(at::kCUDA, 0), at::kBFloat16, 64, 4}).empty()) continue;
    SCOPED_TRACE(name_of(backend));
    const auto options = at::TensorOptions().dtype(at::kBFloat16).device(at::kCUDA);
    at::manual_seed(7);
    const at::Tensor q = at::randn({3, 70, 2, 64}, options), k = at::randn({3, 74, 2, 64}, options);
    const at::Tensor dout = at::randn({1, 70, 2, 64}, options).expand({3, 70, 2, 64});
    const auto gradient = [&](const at::Tensor& d) {
      const at::Tensor in = q.detach().requires_grad_();
      return torch::autograd::grad({segment_attention(in, k, k, backend)}, {in}, {d})[0].to(at::kFloat);
    };
    const at::Tensor expected = gradient(dout.contiguous());
    EXPECT_LT((gradient(dout) - expected).norm().item<double>(), 1e-2 * expected.norm().item<double>());
  }
}

TEST(GpuAttentionTest, EachCardTakesItsFastestBackend) {
  device::require_cuda_device("cuda:0", 0);
  const int capability = device::cuda_kernels().device_capability(0);
  const auto fastest = [](int64_t head_dim, int64_t slots) {
    return fastest_backend({at::Device(at::kCUDA, 0), at::kBFloat16, head_dim, slots});
  };
  const AttentionBackend without_ours = capability >= 90 ? AttentionBackend::kCudnn : AttentionBackend::kFlash;
  EXPECT_EQ(fastest(128, 12), capability == 90 ? AttentionBackend::kHopper : without_ours);
  EXPECT_EQ(fastest(128, 33), without_ours);
  EXPECT_EQ(fastest(96, 12), without_ours);
}

INSTANTIATE_TEST_SUITE_P(Types, GpuKernelsTest,
                         ::testing::Values(Precision{at::kFloat, 1e-5}, Precision{at::kBFloat16, 2e-2}),
                         [](const auto& test) { return test.param.type == at::kFloat ? "cuda_f32" : "cuda_bf16"; });

}  // namespace
}  // namespace hici::ops
