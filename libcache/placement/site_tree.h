#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "libcache/placement/reuse_model.h"

namespace cairn {

using SiteId = std::uint32_t;
using CheckpointId = std::uint32_t;
inline constexpr std::uint32_t kNoSite = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint32_t kNoCheckpoint = std::numeric_limits<std::uint32_t>::max();

/// A place of the prefix trie that means something: a root, the end of a prompt, a junction. Its
/// edge is what lies between the place above it (exclusive) and itself (inclusive); an overlap ends
/// on exactly one edge.
struct Site {
  double last_use_s = 0;  ///< When an overlap last ended on its edge, or when it was made.
  double mass = 0;        ///< Decayed count of such overlaps: see SiteTree::MassAt.
  double mass_as_of_s = 0;
  mutable double density = -1;  ///< Cached by LearnedPlacement; negative: not computed.
  SiteId parent = kNoSite;
  SiteId first_child = kNoSite;  ///< Latest made first.
  SiteId next_sibling = kNoSite;
  SiteId prev_sibling = kNoSite;
  SiteId newer = kNoSite;  ///< In the list by last use.
  SiteId older = kNoSite;
  std::uint32_t generation = 0;
  std::uint32_t position = 0;  ///< Tokens from the prompt's start.
  std::uint32_t children = 0;
  std::uint32_t continued = 0;           ///< Children whose first use was seen from here.
  std::uint32_t checkpoints_below = 0;   ///< On its edge and in all edges below.
  CheckpointId deepest = kNoCheckpoint;  ///< Resident on its edge; they hang together.
  CheckpointId shallowest = kNoCheckpoint;
  std::uint32_t uses = 0;
  SiteTraits traits;  ///< As of the last use.
  std::uint8_t age_bin = 0;
  std::uint16_t owner = 0;  ///< Whose root it hangs from: see LearnedPlacement::AddOwner.
  std::uint8_t turns = 0;
  std::uint8_t gap_bin = SiteTraits::kNoGap;
  bool is_tip = false;
  bool waits = false;      ///< Queued for the end of its first age bin since last_use_s.
  bool came_back = false;  ///< Its parent counts it as continued.
  bool live = false;
};
static_assert(sizeof(Site) <= 112);

/// A state that is resident, at a position on the edge of a site.
struct ResidentCheckpoint {
  SiteId site = kNoSite;
  std::uint32_t position = 0;
  CheckpointId above = kNoCheckpoint;  ///< The next shallower one on the same edge.
  CheckpointId below = kNoCheckpoint;  ///< The next deeper one there.
  std::uint32_t user = 0;              ///< Whatever the owner wants to find it by.
  bool live = false;
};

/// A site as others remember it: the id may have been given to another place since.
struct SiteRef {
  SiteId id = kNoSite;
  std::uint32_t generation = 0;
  bool operator==(const SiteRef&) const = default;
};

/// The trie of places, and which checkpoints are resident on it. Structure only: it counts nothing
/// but what hangs where. At most 112 bytes per site and 24 per checkpoint; when there are
/// `max_sites`, the leaf that was unused for longest is forgotten and its mass goes to its parent.
///
/// Not thread-safe. Ids and references to sites are valid until the next call that makes a site.
class SiteTree {
 public:
  /// Masses lose half in `mass_half_life_s`.
  explicit SiteTree(std::uint32_t max_sites,
                    double mass_half_life_s = std::numeric_limits<double>::infinity());

  SiteId AddRoot(double now_s, std::uint16_t owner);
  /// A new place at the end of an edge below `parent`. kNoSite when all places are roots, junctions
  /// or hold checkpoints and nothing can be forgotten.
  SiteId AddTip(SiteId parent, std::uint32_t position, double now_s);
  /// Cuts the edge of `below` at `position`, which must lie inside it: the new place takes the
  /// upper part with its checkpoints. kNoSite as above.
  SiteId Split(SiteId below, std::uint32_t position, double now_s);
  /// The place was used: it is the last to be forgotten.
  void Touch(SiteId id);
  /// Puts the longest unused first to be forgotten, after many were added with uses of long ago.
  void SortByUse();

  /// An overlap ended on its edge: the place above has a child that came back, if this is its
  /// first.
  void CountReturn(SiteId id);
  /// Both what is there and what is added decay to the later moment.
  void AddMass(SiteId id, double mass, double at_s);
  [[nodiscard]] double MassAt(SiteId id, double now_s) const;

  /// Nothing may be resident at this position of this edge yet.
  CheckpointId AddCheckpoint(SiteId site, std::uint32_t position, std::uint32_t user);
  void RemoveCheckpoint(CheckpointId id);
  /// The one at `position` on the edge of `site`.
  [[nodiscard]] CheckpointId CheckpointAt(SiteId site, std::uint32_t position) const;
  /// The deepest one on the path above the edge of `site`.
  [[nodiscard]] CheckpointId NearestAbove(SiteId site) const;
  /// The position of the next shallower checkpoint on the path, 0 if there is none.
  [[nodiscard]] std::uint32_t PositionAbove(CheckpointId id) const;
  /// Where the KV that others need as well ends, when this checkpoint goes: its own position if
  /// others lie below it on the path.
  [[nodiscard]] std::uint32_t NeededAbove(CheckpointId id) const;

  [[nodiscard]] const Site& site(SiteId id) const { return sites_[id]; }
  Site& site(SiteId id) { return sites_[id]; }
  [[nodiscard]] const ResidentCheckpoint& checkpoint(CheckpointId id) const {
    return checkpoints_[id];
  }
  /// Somebody is going to look at the place soon, if it is one.
  void Prefetch(SiteId id) const {
    if (id < sites_.size()) {
      __builtin_prefetch(&sites_[id]);
      __builtin_prefetch(&sites_[id].traits);
    }
  }
  [[nodiscard]] bool Valid(SiteRef ref) const {
    return ref.id < sites_.size() && sites_[ref.id].live &&
           sites_[ref.id].generation == ref.generation;
  }
  [[nodiscard]] SiteRef RefOf(SiteId id) const { return {id, sites_[id].generation}; }
  /// Tokens of its edge.
  [[nodiscard]] std::uint32_t EdgeTokens(SiteId id) const;
  [[nodiscard]] SiteKind KindOf(SiteId id) const;

  [[nodiscard]] std::uint32_t sites() const { return live_sites_; }
  [[nodiscard]] std::uint32_t max_sites() const { return max_sites_; }
  [[nodiscard]] std::uint32_t checkpoints() const { return live_checkpoints_; }
  /// One past the largest id in use, for walking over all.
  [[nodiscard]] std::uint32_t end() const { return static_cast<std::uint32_t>(sites_.size()); }
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  SiteId Allocate(double now_s);
  bool ForgetOldest(SiteId keep);
  /// The deepest one on the edge that stands at the position or above it.
  [[nodiscard]] CheckpointId AtOrAbove(SiteId site, std::uint32_t position) const;
  void LinkChild(SiteId parent, SiteId child);
  void UnlinkChild(SiteId child);
  void PushNewest(SiteId id);
  void RemoveFromList(SiteId id);

  std::uint32_t max_sites_;
  double mass_half_life_s_;
  std::vector<Site> sites_;
  std::vector<SiteId> free_sites_;
  std::vector<ResidentCheckpoint> checkpoints_;
  std::vector<CheckpointId> free_checkpoints_;
  std::uint32_t live_sites_ = 0;
  std::uint32_t live_checkpoints_ = 0;
  SiteId newest_ = kNoSite;
  SiteId oldest_ = kNoSite;
};

}  // namespace cairn
