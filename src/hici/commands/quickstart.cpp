// SPDX-License-Identifier: Apache-2.0
// `hici quickstart`: a tokenizer, a tiny base model at a short context, its extension with HiCI, and one table of
// perplexities. Each step is another command of this program, run in this process, as a user would type it. A step
// whose result is there is skipped, so that the same command goes on where it was stopped.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/installed_data.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/process_rank.h"
#include "hici/base/run_lock.h"
#include "hici/base/sha256.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"
#include "hici/commands/commands.h"
#include "hici/commands/flag_text.h"
#include "hici/commands/options/model_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/config/bounds.h"
#include "hici/data/held_out_text.h"
#include "hici/data/token_sidecar.h"
#include "hici/io/checkpoint/store.h"
#include "hici/text/tokenizer.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::commands {
namespace {

constexpr const char* kText = "quickstart/king-james-bible.txt.zst";  // in share/hici
constexpr const char* kRecord = "quickstart.json";                    // what the folder was made from
constexpr data::HeldOutSizes kTextSizes{.least_text = 100'000, .most_text = size_t{64} << 20, .most_held_out = 200'000};
constexpr const char* kVocabulary = "1024";
constexpr const char* kBaseContext = "256";
constexpr const char* kContext = "1024";  // four times the base's
constexpr int64_t kExtensionPart = 4;     // of the steps of the base, so many for one of the extension
constexpr int64_t kEvalTokens = 4096;     // in one forward
constexpr int64_t kContexts[] = {256, 512, 1024, 2048};
constexpr const char* kGoesOn = "the same command goes on from there";

struct QuickstartOptions {
  std::string text_file;
  fs::path output_dir = "quickstart";
  int64_t steps = 1200;
  uint64_t seed = 1;
  std::string device = "auto";
  const CLI::App* app = nullptr;
};

// A command as it would be typed.
struct Step {
  std::vector<std::string> words;
  std::vector<std::pair<std::string, std::string>> options;
  std::vector<std::string> positionals = {};

  std::vector<std::string> typed() const {
    std::vector<std::string> all = words;
    for (const auto& [name, value] : options) all.push_back(detail::concat("--", name, "=", value));
    if (!positionals.empty()) all.emplace_back("--");
    all.insert(all.end(), positionals.begin(), positionals.end());
    return all;
  }
};

class Quickstart {
 public:
  explicit Quickstart(const QuickstartOptions& o)
      : o_(o), folder_(without_last_slash(o.output_dir)), run_(folder_ / ("seed-" + std::to_string(o.seed))) {}

  // Exit code of the process.
  int run() {
    const std::string text_file =
        o_.text_file.empty() ? find_installed_data(program_folder(), kText, "give a text by --text_file").string()
                             : o_.text_file;
    data::HeldOutText text = data::read_held_out_text(text_file, kTextSizes);
    const RunLock lock(folder_);
    take_folder(text);
    write_text(text_file, text);
    if (tokenize(text_file) && make_base() && extend() && evaluate() && report()) end();
    return exit_code_;
  }

 private:
  fs::path tokenizer() const { return folder_ / "tokenizer"; }
  fs::path base() const { return io::checkpoint_path(run_ / "base", o_.steps); }
  int64_t extension_steps() const { return o_.steps / kExtensionPart; }
  fs::path extended() const { return io::checkpoint_path(run_ / "hici", extension_steps()); }

  // An error unless the folder is new, empty or of a quickstart with the same text and steps.
  void take_folder(const data::HeldOutText& text) const {
    const nlohmann::json record = {
        {"command", "quickstart"}, {"text_sha256", sha256_hex(text.training + text.held_out)}, {"steps", o_.steps}};
    const fs::path file = folder_ / kRecord;
    if (!fs::exists(file)) {
      for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
        const std::string name = entry.path().filename().string();
        HICI_CHECK(name == RunLock::kFileName || is_temporary_name(name), folder_.string(),
                   ": is not empty and no folder of 'hici quickstart' (it has no ", kRecord,
                   "); give another --output_dir");
      }
      return write_output_file(file, record.dump(1) + "\n");
    }
    const nlohmann::json found = read_json_file(file);
    const JsonObject object(found, file.string());
    check_same(object.string("text_sha256") == record["text_sha256"], "another text (--text_file)");
    const int64_t steps = object.integer("steps", 0, config::kMaxCount);
    check_same(steps == o_.steps, detail::concat("--steps ", steps).c_str());
  }

  void check_same(bool is_same, const char* other) const {
    HICI_CHECK(is_same, folder_.string(), ": was made with ", other, "; give another --output_dir, or remove it first");
  }

  void write_text(const std::string& text_file, const data::HeldOutText& text) const {
    if (fs::exists(folder_ / "train.txt")) return;
    log_info("== Text: ", text_file, ", its last ", human_bytes(static_cast<int64_t>(text.held_out.size())),
             " held out");
    write_output_file(folder_ / "held-out.txt", text.held_out);
    write_output_file(folder_ / "train.txt", text.training);
  }

  bool tokenize(const std::string& text_file) {
    if (!fs::exists(tokenizer() / "tokenizer.json")) {
      log_info("== Tokenizer: byte-level BPE with ", kVocabulary, " tokens");
      const Step step{{"train-tokenizer"},
                      {{"text_file", (folder_ / "train.txt").string()},
                       {"vocab_size", kVocabulary},
                       {"output_dir", tokenizer().string()}}};
      if (!run_step(step)) return false;
    }
    for (const char* part : {"train", "held-out"}) {
      const fs::path text = folder_ / (part + std::string(".txt")), tokens = folder_ / (part + std::string(".bin"));
      // A stop may have been between the tokens and their description.
      const bool is_there = fs::exists(tokens) && fs::exists(data::sidecar_path(tokens));
      const Step step{{"tokenize"},
                      {{"tokenizer", tokenizer().string()},
                       {"text_file", text.string()},
                       {"output", tokens.string()},
                       {"overwrite", "True"}}};
      if (!is_there && !run_step(step)) return false;
    }
    const int64_t held_out = data::read_sidecar(folder_ / "held-out.bin")->num_tokens,
                  longest = std::end(kContexts)[-1];
    HICI_CHECK(held_out > longest, text_file, ": the end that is held out has ", counted(held_out, "token"),
               ", and models are evaluated at ", longest, "; give a longer text");
    return true;
  }

  bool make_base() {
    const fs::path init = run_ / "init";
    const std::string context = kBaseContext;
    const Step make{{"init"},
                    {{"family", "llama"},
                     {"tokenizer", tokenizer().string()},
                     {"hidden_size", "128"},
                     {"intermediate_size", "344"},
                     {"num_hidden_layers", "4"},
                     {"num_attention_heads", "4"},
                     {"num_key_value_heads", "4"},
                     {"max_position_embeddings", context},
                     {"seed", std::to_string(o_.seed)},
                     {"output_dir", init.string()}}};
    if (!fs::exists(init / "config.json") && !run_step(make)) return false;
    return train("== Base: full attention at " + context + " tokens, every parameter", base(), o_.steps, 50,
                 {{"model_name_or_path", init.string()},
                  {"attention", "full"},
                  {"low_rank_training", "False"},
                  {"model_max_length", context},
                  {"per_device_train_batch_size", "8"},
                  {"learning_rate", "2e-3"},
                  {"lr_scheduler_type", "cosine"}});
  }

  bool extend() {
    const std::string title = detail::concat("== Extension: HiCI at ", kContext,
                                             " tokens in 4 segments, LoRA + embedding + norms + HiCI modules");
    return train(title, extended(), extension_steps(), 20,
                 {{"model_name_or_path", base().string()},
                  {"attention", "hici"},
                  {"model_max_length", kContext},
                  {"num_chunks", "4"},
                  {"num_local_slots", "8"},
                  {"global_slots", "4"},
                  {"num_heads", "4"},
                  {"bottleneck_dim", "64"},
                  {"shared_compress_dim", "32"},
                  {"per_device_train_batch_size", "2"},
                  {"learning_rate", "5e-4"},
                  {"hici_lr", "2e-3"}});
  }

  // Up to `checkpoint`, of `steps` steps; goes on where an earlier run was stopped.
  bool train(const std::string& title, const fs::path& checkpoint, int64_t steps, int64_t warmup_steps,
             std::vector<std::pair<std::string, std::string>> options) {
    if (fs::is_directory(checkpoint)) return true;
    log_info(title);
    const auto add = [&](const char* name, const std::string& value) { options.emplace_back(name, value); };
    add("data_path", (folder_ / "train.bin").string());
    add("output_dir", checkpoint.parent_path().string());
    add("gradient_accumulation_steps", "1");
    add("max_steps", std::to_string(steps));
    add("warmup_steps", std::to_string(std::min(warmup_steps, steps / 10)));
    add("save_steps", "100");
    add("save_total_limit", "1");
    add("logging_steps", "10");
    add("seed", std::to_string(o_.seed));
    add("device", o_.device);
    add("resume_from_checkpoint", "latest");
    return run_step({{"train"}, options});
  }

  bool evaluate() {
    log_info("== Evaluation on held-out text");
    return evaluate("base", "Base", {}) &&
           evaluate("hici-full", "HiCI", {{"peft_model", extended().string()}, {"eval_mode", "full"}}) &&
           evaluate("hici-hici", "HiCI", {{"peft_model", extended().string()}, {"eval_mode", "hici"}});
  }

  // One row of the table. Windows side by side: in overlapping ones a token would be counted several times.
  bool evaluate(const std::string& name, const std::string& label,
                const std::vector<std::pair<std::string, std::string>>& options) {
    for (const int64_t context : kContexts) {
      const fs::path result = run_ / "eval" / detail::concat(name, "-", context, ".json");
      if (fs::exists(result)) continue;
      Step step{{"eval", "ppl"},
                {{"base_model", base().string()},
                 {"data_path", (folder_ / "held-out.bin").string()},
                 {"seq_len", std::to_string(context)},
                 {"sliding_window", std::to_string(context)},
                 {"batch_size", std::to_string(kEvalTokens / context)},
                 {"label", label},
                 {"device", o_.device},
                 {"output", result.string()},
                 {"resume", "True"}}};
      step.options.insert(step.options.end(), options.begin(), options.end());
      if (!run_step(step)) return false;
    }
    return true;
  }

  bool report() {
    log_info("== Perplexity by context (base trained at ", kBaseContext, ", HiCI at ", kContext, ")");
    return run_step({{"report"},
                     {{"output", (run_ / "report.html").string()}},
                     {(run_ / "base").string(), (run_ / "hici").string(), (run_ / "eval").string()}});
  }

  // False where the story ends here, with the exit code of the command.
  bool run_step(const Step& step) {
    try {
      exit_code_ = run_words(step.typed());
    } catch (const Stopped& stop) {  // it names an option of the command
      throw Stopped(stop.exit_code() - 128,
                    detail::concat("stopped by signal ", stop.exit_code() - 128, "; ", kGoesOn));
    }
    name_fields_as_options_of(*o_.app);
    if (exit_code_ > 128) log_info(kGoesOn);
    return exit_code_ == 0;
  }

  void end() const {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start_;
    log_info("== The page is ", (run_ / "report.html").string(), "; all of it took ", human_duration(time.count()));
    log_info("The model goes on with a text: hici generate 'In the beginning' --base_model ",
             shell_word(base().string()), " --peft_model ", shell_word(extended().string()));
  }

  const QuickstartOptions& o_;
  const fs::path folder_;
  const fs::path run_;  // of this seed; text, tokens and tokenizer are those of all seeds
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int exit_code_ = 0;
};

int run_quickstart(const QuickstartOptions& o) {
  HICI_CHECK_USAGE(!o.output_dir.empty(), "--output_dir: is empty; give a folder");
  const int64_t world = process_rank().world;
  HICI_CHECK_USAGE(world == 1, "works in one process, and a launcher started ", world, "; leave the launcher out");
  HICI_CHECK(text::has_text_support(),
             "tokenizes text, and this hici was built without text support (HICI_TEXT=OFF); install Rust (cargo), "
             "configure with -DHICI_TEXT=ON and build again");
  DeviceOptions device;
  device.device = o.device;
  device.resolve_device();  // what is wrong with it is an error before all else
  return Quickstart(o).run();
}

}  // namespace

CommandEntry quickstart_command() {
  return {"quickstart", "Train and extend a tiny model on a text that comes with hici, and show what it gained",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<QuickstartOptions>();
            o->app = &app;
            add_option(app, "text_file", o->text_file,
                       "Text to learn: .txt, .jsonl, .json (also .gz, .zst), .parquet; empty: the King James Bible, "
                       "which comes with hici");
            add_option(app, "output_dir", o->output_dir,
                       "Folder for all that is made; new, empty, or of the same command, which then goes on");
            add_option(app, "steps", o->steps, "Optimizer steps of the base model; the extension has a quarter of them",
                       {kExtensionPart, config::kMaxCount});
            add_option(app, "seed", o->seed, "Of weights and order; each has a folder of its own", kSeeds);
            with_choices(add_option(app, "device", o->device, "auto, cpu, cuda or cuda:N"), {"auto", "cpu", "cuda"});
            return [o] { return run_quickstart(*o); };
          }};
}

}  // namespace hici::commands
