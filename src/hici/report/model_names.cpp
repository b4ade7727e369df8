// SPDX-License-Identifier: Apache-2.0
#include "hici/report/model_names.h"

#include "hici/report/conditions.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

namespace hici::report {
namespace {

using Parts = std::vector<std::string>;

constexpr std::string_view kHubFolder = "models--";

// In the Hub's cache .../models--ORG--NAME/snapshots/COMMIT is the model ORG/NAME.
void fold_hub_cache(Parts& parts) {
  const size_t size = parts.size();
  if (size < 3 || parts[size - 2] != "snapshots" || !parts[size - 3].starts_with(kHubFolder)) return;
  const std::string repository = parts[size - 3].substr(kHubFolder.size());
  parts.resize(size - 3);
  const size_t middle = repository.find("--");
  if (middle != std::string::npos) parts.push_back(repository.substr(0, middle));
  parts.push_back(middle == std::string::npos ? repository : repository.substr(middle + 2));
}

Parts parts_of(const std::string& path) {
  Parts parts;
  for (const auto& part : std::filesystem::path(path).lexically_normal()) {
    if (!part.empty() && part != "/" && part != ".") parts.push_back(part.string());
  }
  fold_hub_cache(parts);
  if (parts.empty()) parts.push_back(path);
  return parts;
}

// How many parts, from the end, make a name.
size_t short_length(const Parts& parts) {
  return parts.back().starts_with("checkpoint-") ? std::min<size_t>(2, parts.size()) : 1;
}

std::string last_parts(const Parts& parts, size_t count) {
  std::string name;
  for (size_t i = parts.size() - std::min(count, parts.size()); i < parts.size(); ++i)
    name += (name.empty() ? "" : "/") + parts[i];
  return name;
}

// One model among those whose labels are paths.
struct Model {
  std::string path;
  std::string weights;
};

struct Entry {
  std::string* label;
  const ModelOrigin* origin;
  std::string weights;  // stated here, or by the only other result that names the path
};

template <typename Result>
void list_entries(std::vector<Result>& results, std::vector<Entry>& entries) {
  for (Result& result : results) entries.push_back({&result.label, &result.origin, result.origin.weights});
}

// Hashes of another kind than the first one's say nothing about whether two models are one.
void complete_weights(std::vector<Entry>& entries) {
  const std::string* key = nullptr;
  std::map<std::string, std::set<std::string>> stated;
  for (Entry& entry : entries) {
    if (entry.weights.empty()) continue;
    if (key == nullptr) key = &entry.origin->weights_key;
    if (entry.origin->weights_key != *key) {
      entry.weights.clear();
    } else {
      stated[entry.origin->path].insert(entry.weights);
    }
  }
  for (Entry& entry : entries) {
    const auto found = stated.find(entry.origin->path);
    if (entry.weights.empty() && found != stated.end() && found->second.size() == 1)
      entry.weights = *found->second.begin();
  }
}

std::string identity_of(const Entry& entry) {
  return entry.weights.empty() ? "path " + entry.origin->path : "weights " + entry.weights;
}

// Names of models that are one in short_name(), by identity.
std::map<std::string, std::string> names_of(const std::map<std::string, Model>& models) {
  std::vector<std::string> paths;
  for (const auto& [identity, model] : models) paths.push_back(model.path);
  const std::vector<std::string> names = distinct_names(paths);
  std::map<std::string, std::string> all;
  for (const auto& [identity, model] : models) {
    std::string name = names[all.size()];
    const bool is_shared = std::count(names.begin(), names.end(), name) > 1;
    if (is_shared && !model.weights.empty()) name += " (weights " + short_hash(model.weights) + ")";
    all[identity] = name;
  }
  return all;
}

}  // namespace

std::string short_name(const std::string& path) {
  const Parts parts = parts_of(path);
  return last_parts(parts, short_length(parts));
}

std::vector<std::string> distinct_names(const std::vector<std::string>& paths) {
  std::vector<size_t> lengths;
  std::vector<Parts> all;
  for (const std::string& path : paths) {
    all.push_back(parts_of(path));
    lengths.push_back(short_length(all.back()));
  }
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    std::map<std::string, std::set<Parts>> by_name;
    for (size_t i = 0; i < all.size(); ++i) by_name[last_parts(all[i], lengths[i])].insert(all[i]);
    for (size_t i = 0; i < all.size(); ++i) {
      // The names of this round decide, so that all of one name get a part more.
      if (by_name[last_parts(all[i], lengths[i])].size() < 2 || lengths[i] >= all[i].size()) continue;
      ++lengths[i];
      is_changed = true;
    }
  }
  std::vector<std::string> names;
  for (size_t i = 0; i < all.size(); ++i) names.push_back(last_parts(all[i], lengths[i]));
  return names;
}

std::string attention_in_words(const std::string& attention) {
  const size_t end = std::min(attention.find(", "), attention.size());
  return attention.substr(0, end) + " attention" + attention.substr(end);
}

void name_models(ReportData& data) {
  std::vector<Entry> entries;
  list_entries(data.perplexities, entries);
  list_entries(data.passkeys, entries);
  list_entries(data.attentions, entries);
  std::erase_if(entries, [](const Entry& entry) { return entry.origin->path.empty(); });
  complete_weights(entries);
  std::map<std::string, std::map<std::string, Model>> by_name;  // short name -> identity -> model
  for (const Entry& entry : entries)
    by_name[short_name(entry.origin->path)].try_emplace(identity_of(entry), Model{entry.origin->path, entry.weights});
  std::map<std::string, std::map<std::string, std::string>> names;
  for (const auto& [name, models] : by_name) names[name] = names_of(models);
  for (const Entry& entry : entries) *entry.label = names[short_name(entry.origin->path)][identity_of(entry)];
}

}  // namespace hici::report
