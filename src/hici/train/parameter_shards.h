// SPDX-License-Identifier: Apache-2.0
// The trained parameters of a run over its processes: gradients summed over them, the optimizer's state cut among them,
// new weights for all. With one process everything is as it is without.
//
// The parameters stand one behind the other in one vector (parallel/flat_layout.h), cut into as many equal shards as
// there are processes. A process updates the pieces of parameters that lie in its shard: it has master weights and
// moments for them alone, and needs the sums of their gradients alone.
#pragma once

#include "hici/config/sharding.h"
#include "hici/optim/parameter_groups.h"
#include "hici/parallel/flat_layout.h"
#include "hici/parallel/world.h"

#include <optional>
#include <vector>

namespace hici::train {

class ParameterShards {
 public:
  // With more than one process the parameters get new storage, in which they are neighbours, and the leader's values.
  // `world` is kept by reference.
  ParameterShards(std::vector<optim::TrainedParameter> parameters, const parallel::World& world,
                  config::ShardKind kind);

  const parallel::World& world() const { return world_; }
  // The whole parameters.
  const std::vector<optim::TrainedParameter>& parameters() const { return parameters_; }
  // What the optimizer of this process updates: the parameters, or pieces of them under their names, each of one
  // dimension.
  const std::vector<optim::TrainedParameter>& updated() const { return updated_; }
  bool is_cut() const { return layout_ && layout_->num_shards() > 1; }

  // Where the sums of gradients are to be made, in the order of parameters(); empty: wherever.
  const std::vector<at::Tensor>& gradient_storage() const { return gradient_views_; }

  // Adds the gradients of all processes up. `sums` are in the order of parameters(), in gradient_storage() where there
  // is one, undefined where this process has no gradient; the result is in the order of updated(), undefined where no
  // process has one. The sums are overwritten.
  std::vector<at::Tensor> reduce(const std::vector<at::Tensor>& sums);
  // Of what reduce() returned, the sums of squares by group: over all processes.
  std::array<double, optim::kNumGroups> sum_squares(const std::array<double, optim::kNumGroups>& own) const;
  // After an update: the new weights of every piece to all processes.
  void gather();

  // The pieces of parameter `index` in the order of their elements: who has them, and where they begin.
  struct Owned {
    int64_t rank;
    int64_t begin, size;
  };
  std::vector<Owned> owners_of(size_t index) const;

 private:
  std::vector<bool> who_has_gradients(const std::vector<at::Tensor>& sums) const;

  std::vector<optim::TrainedParameter> parameters_, updated_;
  const parallel::World& world_;
  std::optional<parallel::FlatLayout> layout_;  // nullopt: one process
  std::vector<parallel::FlatLayout::Piece> pieces_;
  at::Tensor weights_, gradients_;  // [total]
  std::vector<at::Tensor> gradient_views_;
};

}  // namespace hici::train
