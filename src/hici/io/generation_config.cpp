// SPDX-License-Identifier: Apache-2.0
#include "hici/io/generation_config.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"

#include <array>

namespace hici::io {
namespace {

using nlohmann::json;

constexpr std::string_view kOfDrawnAnswers = "acts on drawn answers alone, which `temperature` asks for";
constexpr std::string_view kOfBeams = "acts with beams alone";
constexpr std::string_view kOptionSays = "options of the command say it";

// GenerationConfig of transformers 4.31 to 5.24. A refused key may have the value that does nothing.
constexpr std::array kGenerationKeys{
    KnownKey{"assistant_confidence_threshold"},
    KnownKey{"assistant_early_exit"},
    KnownKey{"assistant_lookbehind"},
    KnownKey{"bad_words_ids", KeyUse::kRefused, "tokens that may not be chosen"},
    KnownKey{"begin_suppress_tokens", KeyUse::kRefused, "tokens that may not begin an answer"},
    KnownKey{"bos_token_id"},
    KnownKey{"cache_config"},
    KnownKey{"cache_implementation"},
    KnownKey{"chat_format", KeyUse::kNeutral, "of Qwen's first code; the chat template says it"},
    KnownKey{"compile_config"},
    KnownKey{"constraints", KeyUse::kRefused, "answers that must hold certain tokens"},
    KnownKey{"decoder_start_token_id"},
    KnownKey{"disable_compile"},
    KnownKey{"diversity_penalty", KeyUse::kNeutral, kOfBeams},
    KnownKey{"do_sample", KeyUse::kRead, "a line says which values the file asks for; `temperature` decides"},
    KnownKey{"dola_layers", KeyUse::kRefused, "logits of several layers"},
    KnownKey{"early_stopping", KeyUse::kNeutral, kOfBeams},
    KnownKey{"encoder_no_repeat_ngram_size", KeyUse::kRefused, "n-grams of the prompt that may not be chosen"},
    KnownKey{"encoder_repetition_penalty", KeyUse::kRefused, "a penalty for what is not in the prompt"},
    KnownKey{"eos_token_id", KeyUse::kRead, "each of them ends an answer"},
    KnownKey{"epsilon_cutoff", KeyUse::kNeutral, kOfDrawnAnswers},
    KnownKey{"eta_cutoff", KeyUse::kNeutral, kOfDrawnAnswers},
    KnownKey{"exponential_decay_length_penalty", KeyUse::kRefused, "an end that becomes more probable"},
    KnownKey{"force_words_ids", KeyUse::kRefused, "answers that must hold certain tokens"},
    KnownKey{"forced_bos_token_id", KeyUse::kRefused, "a first token that is set"},
    KnownKey{"forced_decoder_ids", KeyUse::kRefused, "tokens that are set"},
    KnownKey{"forced_eos_token_id", KeyUse::kRefused, "a last token that is set"},
    KnownKey{"generation_kwargs"},
    KnownKey{"guidance_scale", KeyUse::kRefused, "logits of a second prompt"},
    KnownKey{"is_assistant"},
    KnownKey{"length_penalty", KeyUse::kNeutral, kOfBeams},
    KnownKey{"low_memory"},
    KnownKey{"max_length", KeyUse::kNeutral, kOptionSays},
    KnownKey{"max_matching_ngram_size"},
    KnownKey{"max_new_tokens", KeyUse::kNeutral, kOptionSays},
    KnownKey{"max_time", KeyUse::kRefused, "answers that end by the clock"},
    KnownKey{"max_window_size", KeyUse::kNeutral, "of Qwen's first code"},
    KnownKey{"min_length", KeyUse::kRefused, "use `min_new_tokens`"},
    KnownKey{"min_new_tokens", KeyUse::kRefused, "use `min_new_tokens`"},
    KnownKey{"min_p", KeyUse::kNeutral, kOfDrawnAnswers},
    KnownKey{"no_repeat_ngram_size", KeyUse::kRefused, "n-grams that may not come twice"},
    KnownKey{"num_assistant_tokens"},
    KnownKey{"num_assistant_tokens_schedule"},
    KnownKey{"num_beam_groups", KeyUse::kRefused, "beams"},
    KnownKey{"num_beams", KeyUse::kRefused, "beams"},
    KnownKey{"num_return_sequences", KeyUse::kNeutral, kOptionSays},
    KnownKey{"output_attentions"},
    KnownKey{"output_hidden_states"},
    KnownKey{"output_logits"},
    KnownKey{"output_scores"},
    KnownKey{"pad_token_id"},
    KnownKey{"penalty_alpha", KeyUse::kRefused, "contrastive search"},
    KnownKey{"prefill_chunk_size"},
    KnownKey{"prompt_lookup_num_tokens"},
    KnownKey{"remove_invalid_values", KeyUse::kNeutral, "a logit that is no number is an error here"},
    KnownKey{"renormalize_logits"},
    KnownKey{"repetition_penalty", KeyUse::kRead,
             "done; `repetition_penalty` of hici generate decides where it is given"},
    KnownKey{"return_dict"},
    KnownKey{"return_dict_in_generate"},
    KnownKey{"return_legacy_cache"},
    KnownKey{"sequence_bias", KeyUse::kRefused, "tokens that become more probable"},
    KnownKey{"stop_strings", KeyUse::kRefused, "use `stop` of hici generate"},
    KnownKey{"suppress_tokens", KeyUse::kRefused, "tokens that may not be chosen"},
    KnownKey{"target_lookbehind"},
    KnownKey{"temperature", KeyUse::kRead, "with do_sample"},
    KnownKey{"token_healing", KeyUse::kRefused, "a prompt whose end is changed"},
    KnownKey{"top_h", KeyUse::kNeutral, kOfDrawnAnswers},
    KnownKey{"top_k", KeyUse::kRead, "with do_sample"},
    KnownKey{"top_p", KeyUse::kRead, "with do_sample"},
    KnownKey{"transformers_version"},
    KnownKey{"trust_remote_code"},
    KnownKey{"typical_p", KeyUse::kNeutral, kOfDrawnAnswers},
    KnownKey{"use_cache"},
    KnownKey{"use_mtp"},
    KnownKey{"user_token_id"},
    KnownKey{"assistant_token_id"},
    KnownKey{"watermarking_config", KeyUse::kRefused, "a watermark"},
    KnownKey{"_from_model_config"},
};

// What GenerationConfig has where nothing was asked for: none, false, an empty list, 0 of a size or time, 1 of a count
// or factor.
bool does_nothing(const std::string& name, const json& value) {
  if (value.is_null() || value == false) return true;
  if (value.is_structured() || value.is_string()) return value.empty() || value == "";
  const bool is_count_or_factor = name == "num_beams" || name == "num_beam_groups" || name == "guidance_scale" ||
                                  name == "encoder_repetition_penalty";
  return value.is_number() && value == (is_count_or_factor ? 1 : 0);
}

void refuse_what_is_not_done(const JsonObject& object) {
  for (const auto& [name, value] : object.value().items()) {
    const KnownKey* key = find_key(kGenerationKeys, name);
    HICI_CHECK(key == nullptr || key->use != KeyUse::kRefused || does_nothing(name, value), object.subject(), ": ",
               name, " ", shown_json(value), " is not supported (", key->note,
               "); remove it if answers without it will do");
  }
}

std::vector<int64_t> stop_ids_of(const JsonObject& object, const config::ModelConfig& config) {
  if (!object.has("eos_token_id")) return config.eos_token_id;
  const json& value = object.at("eos_token_id");
  std::vector<int64_t> ids;
  for (const json& id : value.is_array() ? value : json::array({value})) {
    HICI_CHECK(id.is_number_integer() && id >= 0 && id < config.vocab_size, object.subject(), ": eos_token_id ",
               shown_json(id), " is no id of the vocabulary of ", config.vocab_size);
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

std::string sampling_of(const JsonObject& object) {
  std::vector<std::string> said;
  for (const char* name :
       {"temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"})
    if (object.has(name)) said.push_back(detail::concat(name, " ", shown_json(object.at(name))));
  return joined(said);
}

}  // namespace

GenerationConfig read_generation_config(const std::filesystem::path& dir, const config::ModelConfig& config) {
  const std::filesystem::path path = dir / "generation_config.json";
  if (!is_there(path)) return {.stop_ids = config.eos_token_id};
  const json value = read_companion_json(path);
  const JsonObject object(value, path.string());
  refuse_what_is_not_done(object);
  GenerationConfig read{.stop_ids = stop_ids_of(object, config),
                        .repetition_penalty = object.number_or("repetition_penalty", 1),
                        .do_sample = object.boolean_or("do_sample", false),
                        .sampling = sampling_of(object)};
  HICI_CHECK(read.repetition_penalty >= 0.01 && read.repetition_penalty <= 100, path.string(), ": repetition_penalty ",
             shown_json(object.at("repetition_penalty")), ", expected 0.01 to 100");
  if (const std::string unknown = note_of_unknown_keys(object, kGenerationKeys); !unknown.empty())
    read.notes.push_back(path.string() + ": " + unknown);
  return read;
}

std::span<const KnownKey> generation_config_keys() { return kGenerationKeys; }

}  // namespace hici::io
