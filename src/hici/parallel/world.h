// SPDX-License-Identifier: Apache-2.0
// The processes of a run as one of them sees them. Of one process everything here is there and does nothing.
#pragma once

#include "hici/parallel/launch.h"
#include "hici/parallel/mesh.h"
#include "hici/parallel/process_group.h"

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::parallel {

// What must be the same in all processes, by name; each name once, in the order in which a person would look.
using Facts = std::vector<std::pair<std::string, std::string>>;

class World {
 public:
  World();  // of one
  // Joins the others, who do the same; waits for them. `device` is this process's own; mesh.world() is the number of
  // processes. `same` is compared before any group is made that depends on it. Errors: a port in use, a host that does
  // not resolve, no answer, a difference.
  World(const Launch& launch, const Mesh& mesh, at::Device device, const Facts& same);
  // Waits until all are here, unless an exception is on its way: then the others were told, see guard().
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int64_t rank() const { return control_.rank(); }
  int64_t size() const { return control_.size(); }
  bool is_leader() const { return rank() == 0; }

  // All processes: for tensors on the device, and for a few numbers on the host.
  const ProcessGroup& all() const { return all_; }
  const ProcessGroup& control() const { return control_; }
  // The processes that share this one's sequence, in the order of its segments; for tensors on the device.
  const ProcessGroup& segments() const { return segments_; }
  const Mesh& mesh() const { return mesh_; }
  // This process's block of `size` neighbouring ranks, as a new group; for tensors on the device. `size` divides the
  // number of processes, which all make the same calls.
  ProcessGroup make_block(int64_t size) const;

  void set_step(int64_t step) const;

  // Runs the work of this process in the run. Where it throws, the others end too, and AlreadySaid is thrown instead
  // where another process has said the same already.
  void guard(const std::function<void()>& work) const;

 private:
  struct Joined;  // store, watch and groups to close
  std::unique_ptr<Joined> joined_;
  Mesh mesh_;
  ProcessGroup control_, all_, segments_;
};

// Joins the processes that the launcher started, `segment_processes` of which share a sequence, and works in guard(),
// all but the leader quietly (base/quiet.h). `options`: those in force, a line "NAME = VALUE" each, which begins with
// "# " for what was not typed; program and options must be the same in all. Returns what `work` returns.
int in_world(int64_t segment_processes, at::Device device, const std::string& options,
             const std::function<int(const World&)>& work);

// ---- what processes do together; in the same order in all of them ----

// The leader works, all return what it returned, or throw: the leader what was thrown, the others AlreadySaid.
std::string from_leader(const World& world, const std::function<std::string()>& work);
// The same without a result.
void on_leader(const World& world, const std::function<void()>& work);

std::vector<int64_t> sums_over(const World& world, const std::vector<int64_t>& values);
std::vector<double> sums_over(const World& world, const std::vector<double>& values);
int64_t largest_of(const World& world, int64_t value);
double largest_of(const World& world, double value);
int64_t least_of(const World& world, int64_t value);

// An error that names the first fact that differs from the leader's, and where.
void check_same(const World& world, const Facts& facts);

}  // namespace hici::parallel
