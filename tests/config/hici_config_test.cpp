// SPDX-License-Identifier: Apache-2.0
#include "hici/config/hici_config.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::config {
namespace {

using nlohmann::json;

TEST(CausalModeTest, NamesGoBothWays) {
  for (const std::string name : {"none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly"})
    EXPECT_EQ(name_of(parse_enum<CausalMode>(name, "`causal_mode`")), name);
  EXPECT_THROW(parse_enum<CausalMode>("causal", "`causal_mode`"), UsageError);
  EXPECT_ERROR_SAYS(parse_enum<CausalMode>("causal", "`causal_mode`"),
                    "`causal_mode`: unknown causal mode 'causal'; use none, causal_gi, ");
  EXPECT_EQ(default_causal_mode(Family::kLlama), CausalMode::kNone);
  EXPECT_EQ(default_causal_mode(Family::kQwen3), CausalMode::kCausalGi);
}

TEST(HiciConfigTest, AModeSaysWhatASegmentSees) {
  struct Expected {
    CausalMode mode;
    bool shifted, local, previous, streamable;
    int64_t slots;
  };
  for (const Expected& e : {Expected{CausalMode::kNone, false, true, false, false, 12},
                            {CausalMode::kCausalGi, false, true, false, true, 12},
                            {CausalMode::kCausalShift, true, true, true, true, 12},
                            {CausalMode::kCausalShiftG, true, false, false, true, 4},
                            {CausalMode::kCausalGiGonly, false, false, false, true, 4}}) {
    HiciConfig config{.num_local_slots = 8, .global_slots = 4, .causal_mode = e.mode};
    EXPECT_EQ(config.is_shifted(), e.shifted) << name_of(e.mode);
    EXPECT_EQ(config.shows_local_slots(), e.local) << name_of(e.mode);
    EXPECT_EQ(config.remembers_previous(), e.previous) << name_of(e.mode);
    EXPECT_EQ(config.is_streamable(), e.streamable) << name_of(e.mode);
    EXPECT_EQ(config.slots_per_segment(), e.slots) << name_of(e.mode);
    config.use_global_integrator = false;
    EXPECT_EQ(config.slots_per_segment(), e.slots - 4) << name_of(e.mode);
  }
}

TEST(HiciConfigTest, DefaultsFitALlama) { EXPECT_NO_THROW(HiciConfig{}.validate(4096)); }

TEST(HiciConfigTest, HeadsMustDivideTheWidths) {
  HiciConfig config;
  config.num_heads = 7;
  EXPECT_THROW(config.validate(4096), UsageError);
  EXPECT_ERROR_SAYS(config.validate(4096), "`num_heads`: 7 does not divide `bottleneck_dim` 512; use 4 or 8");
  EXPECT_ERROR_SAYS(config.validate(4096, "hici_config.json"),
                    "hici_config.json: num_heads: 7 does not divide bottleneck_dim 512");
  config = {.num_heads = 16, .use_bottleneck = false};
  EXPECT_ERROR_SAYS(config.validate(40), "`num_heads`: 16 does not divide the model's hidden_size 40");
}

TEST(HiciConfigTest, ModulesMustMakeSense) {
  HiciConfig config;
  config.use_local_constructor = false;
  EXPECT_ERROR_SAYS(config.validate(4096),
                    "`use_global_integrator`: has nothing to integrate without the local constructor");
  config.use_global_integrator = false;
  EXPECT_NO_THROW(config.validate(4096));
  config = {.causal_mode = CausalMode::kCausalGiGonly, .use_global_integrator = false};
  EXPECT_ERROR_SAYS(config.validate(4096), "`causal_mode`: causal_gi_gonly sees global slots only");
  config = {.num_segments = 0};
  EXPECT_ERROR_SAYS(config.validate(4096), "`num_segments`: 0 is out of range");
}

TEST(LoraConfigTest, NamesATargetThatIsNoLayer) {
  LoraConfig config;
  EXPECT_EQ(config.scale(), 2);
  EXPECT_NO_THROW(config.validate());
  config.targets = {"q_porj"};
  EXPECT_ERROR_SAYS(config.validate(),
                    "`lora_target_modules`: \"q_porj\" matches no linear layer; known: q_proj, k_proj, ");
  config = {.rank = 0};
  EXPECT_ERROR_SAYS(config.validate("adapter_config.json"), "adapter_config.json: lora_r: 0 is out of range");
  config = {.rank = 8, .alpha = 0};
  EXPECT_ERROR_SAYS(config.validate(), "`lora_alpha`: 0 is no scale");
}

TEST(AdapterSettingsTest, RoundTripsThroughJson) {
  AdapterSettings settings;
  settings.hici = {.num_segments = 2,
                   .num_local_slots = 5,
                   .global_slots = 3,
                   .num_heads = 4,
                   .bottleneck_dim = 24,
                   .shared_compress_dim = 8,
                   .causal_mode = CausalMode::kCausalShift,
                   .use_bottleneck = false,
                   .shared_compressor = false};
  settings.context_size = 8192;
  settings.rope_factor = 1.2;
  settings.library_version = "0.1.0";
  EXPECT_EQ(parse_adapter_settings(to_json(settings), "hici_config.json"), settings);
}

TEST(AdapterSettingsTest, RefusesWhatItCannotUnderstand) {
  const json good = to_json(AdapterSettings{});
  json unknown = good;
  unknown["slots_decay"] = 0.5;
  EXPECT_ERROR_SAYS(parse_adapter_settings(unknown, "hici_config.json"),
                    "hici_config.json: unknown key \"slots_decay\"");
  unknown["library_version"] = "9\n";  // came out as two lines
  EXPECT_ERROR_SAYS(parse_adapter_settings(unknown, "hici_config.json"), "by a newer hici (9?)?");
  json bad = good;
  bad["causal_mode"] = "sideways";
  EXPECT_ERROR_SAYS(parse_adapter_settings(bad, "hici_config.json"),
                    "hici_config.json: causal_mode: unknown causal mode 'sideways'");
  bad = good;
  bad["rope_factor"] = 0.5;
  EXPECT_ERROR_SAYS(parse_adapter_settings(bad, "hici_config.json"), "hici_config.json: rope_factor is 0.5");
}

}  // namespace
}  // namespace hici::config
