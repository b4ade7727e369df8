// SPDX-License-Identifier: Apache-2.0
// Every target and its seeds; targets.cpp lists them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::fuzz {

void read_adapter_config(std::string_view bytes);
std::vector<std::string> adapter_config_seeds();
void read_arrow_state(std::string_view bytes);
std::vector<std::string> arrow_state_seeds();
void read_case_journal(std::string_view bytes);
std::vector<std::string> case_journal_seeds();
void read_compressed_text(std::string_view bytes);
std::vector<std::string> compressed_text_seeds();
void read_config_file(std::string_view bytes);
std::vector<std::string> config_file_seeds();
void read_generation_config(std::string_view bytes);
std::vector<std::string> generation_config_seeds();
void read_hici_config(std::string_view bytes);
std::vector<std::string> hici_config_seeds();
void read_json_line(std::string_view bytes);
std::vector<std::string> json_line_seeds();
void read_longbench_cases(std::string_view bytes);
std::vector<std::string> longbench_cases_seeds();
void read_longbench_predictions(std::string_view bytes);
std::vector<std::string> longbench_predictions_seeds();
void read_manifest(std::string_view bytes);
std::vector<std::string> manifest_seeds();
void read_model_config(std::string_view bytes);
std::vector<std::string> model_config_seeds();
void read_pickle(std::string_view bytes);
std::vector<std::string> pickle_seeds();
void read_retrieval_answers(std::string_view bytes);
std::vector<std::string> retrieval_answers_seeds();
void read_retrieval_cases(std::string_view bytes);
std::vector<std::string> retrieval_cases_seeds();
void read_prompts(std::string_view bytes);
std::vector<std::string> prompts_seeds();
void read_result_file(std::string_view bytes);
std::vector<std::string> result_file_seeds();
void read_safetensors(std::string_view bytes);
std::vector<std::string> safetensors_seeds();
void read_sft_rows(std::string_view bytes);
std::vector<std::string> sft_rows_seeds();
void read_shard_index(std::string_view bytes);
std::vector<std::string> shard_index_seeds();
void read_token_file(std::string_view bytes);
std::vector<std::string> token_file_seeds();
void read_tokenizer(std::string_view bytes);
std::vector<std::string> tokenizer_seeds();
void read_tokenizer_files(std::string_view bytes);
std::vector<std::string> tokenizer_files_seeds();
void read_torch_file(std::string_view bytes);
std::vector<std::string> torch_file_seeds();
void read_training_dump(std::string_view bytes);
std::vector<std::string> training_dump_seeds();
void read_training_state(std::string_view bytes);
std::vector<std::string> training_state_seeds();

}  // namespace hici::fuzz
