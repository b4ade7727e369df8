// SPDX-License-Identifier: Apache-2.0
// `hici inspect PATH`: what a file or directory holds, and what is wrong with it.
#include "hici/base/log.h"
#include "hici/commands/commands.h"
#include "hici/commands/flag_text.h"
#include "hici/io/inspect.h"
#include "hici/io/inspect_text.h"

namespace hici::commands {
namespace {

struct InspectOptions {
  std::string path;
  std::string base_model;
  std::string token_type;
  int64_t vocab_size = 0;
  bool tensors = false;
  bool json = false;
};

// 1 when there are problems, so that scripts need not read the text.
int run_inspect(const InspectOptions& o) {
  io::InspectRequest request{
      .path = o.path, .base_model = o.base_model, .vocab_size = o.vocab_size, .list_tensors = o.tensors};
  if (!o.token_type.empty()) request.token_type = data::parse_token_type(o.token_type, "--token_type");
  const nlohmann::json report = io::inspect_path(request);
  write_stdout(with_flags(o.json ? report.dump(2) + "\n" : io::inspection_text(report)));
  return report["problems"].empty() ? 0 : 1;
}

}  // namespace

CommandEntry inspect_command() {
  return {"inspect", "Show what a model, adapter, checkpoint, weight or token file holds, and its problems",
          [](CLI::App& app) -> Runner {
            auto o = std::make_shared<InspectOptions>();
            app.add_option("path", o->path,
                           "Model directory, adapter, checkpoint, run directory, .safetensors, .bin or token file")
                ->required();
            add_option(app, "base_model", o->base_model, "Compare an adapter with this base model");
            add_option(app, "token_type", o->token_type,
                       "uint16 or uint32, for a token file without the JSON that hici tokenize writes beside it");
            add_option(app, "vocab_size", o->vocab_size, "Ids of a token file must be below it; 0: not checked",
                       kFromZero);
            add_bool(app, "tensors", o->tensors, "List every tensor, not one line for each kind");
            add_bool(app, "json", o->json, "Print the report as JSON");
            return [o] { return run_inspect(*o); };
          }};
}

}  // namespace hici::commands
