// SPDX-License-Identifier: Apache-2.0
// What a run learns from, opened: blocks of a token file, or examples of fine-tuning.
#pragma once

#include "hici/config/model_config.h"
#include "hici/data/batch_source.h"
#include "hici/data/document_rows.h"
#include "hici/data/token_file.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/parallel/world.h"
#include "hici/train/training_spec.h"

#include <memory>
#include <string>
#include <vector>

namespace hici::train {

// One of several data sets that are mixed.
struct MixedData {
  std::string path;
  double weight = 0;
  std::string sha256;
  std::unique_ptr<data::TokenFile> tokens;
};

struct TrainingData {
  std::unique_ptr<data::TokenFile> tokens;  // of `samples`, when these are blocks of one file
  std::vector<MixedData> mixed = {};        // with --data_mix, whose `samples` are a data::TokenMix
  std::unique_ptr<data::BatchSource> samples;
  io::DataIdentity identity;
  bool is_chat = false;          // examples of fine-tuning, and more conversations than instructions
  std::string tokenizer_sha256;  // that made the ids; empty: not known
  std::string description;       // one line of the log, without the number of steps
};

// What data must know of the model that learns from them.
struct DataUse {
  int64_t vocab_size = 0;
  int64_t segment_length = 0;      // that sequences of documents are padded to; 0: a sequence is one segment
  data::DocumentMarks marks = {};  // of spec.packs_documents
};
DataUse data_use(const TrainingRunSpec& spec, const config::ModelConfig& config, int64_t segment_length);

// Text is tokenized once, packed without padding, into the output directory, and taken from there when the run goes on;
// examples are tokenized in memory.
//
// The leader does that, and the others open what it has made.
TrainingData open_training_data(const TrainingRunSpec& spec, const DataUse& use, const parallel::World& world);
// Weights and contents: what must be the same when a run goes on. Empty without a mix.
std::string mix_identity(const TrainingData& data);
// "a.bin 0.71 (142 sequences), b.bin 0.29 (58)": what each data set had up to a position of the order of this seed.
std::string mix_shares(const TrainingData& data, const data::SamplerPosition& position, uint64_t seed);

// The same for the data of spec.evaluation, all of them. A data set shorter than one block is an error.
TrainingData open_evaluation_data(const TrainingRunSpec& spec, const DataUse& use, const parallel::World& world);

}  // namespace hici::train
