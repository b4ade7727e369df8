// SPDX-License-Identifier: Apache-2.0
#include "fuzz/targets.h"

#include "fuzz/fuzz_target.h"

namespace hici::fuzz {
namespace {

// fuzz_tests stays within a few seconds, under the sanitizers too.
constexpr TargetEntry kTargets[] = {
    {"adapter_config", read_adapter_config, adapter_config_seeds, 400},
    {"arrow_state", read_arrow_state, arrow_state_seeds, 1000},
    {"case_journal", read_case_journal, case_journal_seeds, 400},
    {"compressed_text", read_compressed_text, compressed_text_seeds, 400},
    {"config_file", read_config_file, config_file_seeds, 1000},
    {"generation_config", read_generation_config, generation_config_seeds, 400},
    {"hici_config", read_hici_config, hici_config_seeds, 2000},
    {"json_line", read_json_line, json_line_seeds, 2000},
    {"longbench_cases", read_longbench_cases, longbench_cases_seeds, 1000},
    {"longbench_predictions", read_longbench_predictions, longbench_predictions_seeds, 1000},
    {"manifest", read_manifest, manifest_seeds, 2000},
    {"model_config", read_model_config, model_config_seeds, 2000},
    {"pickle", read_pickle, pickle_seeds, 2000},
    {"prompts", read_prompts, prompts_seeds, 400},
    {"result_file", read_result_file, result_file_seeds, 1000},
    {"retrieval_answers", read_retrieval_answers, retrieval_answers_seeds, 1000},
    {"retrieval_cases", read_retrieval_cases, retrieval_cases_seeds, 1000},
    {"safetensors", read_safetensors, safetensors_seeds, 1000},
    {"sft_rows", read_sft_rows, sft_rows_seeds, 1000},
    {"shard_index", read_shard_index, shard_index_seeds, 2000},
    {"token_file", read_token_file, token_file_seeds, 1000},
#ifdef HICI_FUZZ_TOKENIZER
    {"tokenizer", read_tokenizer, tokenizer_seeds, 150},
#endif
    {"tokenizer_files", read_tokenizer_files, tokenizer_files_seeds, 400},
    {"torch_file", read_torch_file, torch_file_seeds, 2000},
    {"training_dump", read_training_dump, training_dump_seeds, 1500},
    {"training_state", read_training_state, training_state_seeds, 1000},
};

}  // namespace

std::span<const TargetEntry> all_targets() { return kTargets; }

}  // namespace hici::fuzz
