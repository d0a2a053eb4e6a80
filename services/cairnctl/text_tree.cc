// The tree of prefixes, drawn.
#include <algorithm>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libcache/base/bytes.h"
#include "services/cairnctl/format.h"
#include "services/cairnctl/text.h"

namespace cairn::ctl {
namespace {

/// Who hangs below whom, among the nodes of one answer.
class Forest {
 public:
  explicit Forest(const v1::TreeReply& tree) : tree_(tree) {
    std::unordered_map<std::string_view, int> by_key;
    for (int i = 0; i < tree.nodes_size(); ++i) {
      by_key.emplace(tree.nodes(i).key(), i);
    }
    children_.resize(static_cast<std::size_t>(tree.nodes_size()));
    for (int i = 0; i < tree.nodes_size(); ++i) {
      if (by_key.at(tree.nodes(i).key()) != i) {
        continue;  // Listed twice; once is enough.
      }
      const auto parent = by_key.find(tree.nodes(i).parent());
      auto& siblings = tree.nodes(i).parent().empty() || parent == by_key.end()
                           ? tops_
                           : children_[static_cast<std::size_t>(parent->second)];
      siblings.push_back(i);
    }
    // The daemon lists siblings by how it stores them; the same tree should look the same.
    for (auto& siblings : children_) {
      std::sort(siblings.begin(), siblings.end(), [&tree](int a, int b) {
        return std::pair(tree.nodes(a).position(), std::string_view(tree.nodes(a).key())) <
               std::pair(tree.nodes(b).position(), std::string_view(tree.nodes(b).key()));
      });
    }
  }

  [[nodiscard]] const std::vector<int>& tops() const { return tops_; }
  [[nodiscard]] const std::vector<int>& children(int i) const {
    return children_[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] const v1::TreeNode& node(int i) const { return tree_.nodes(i); }

 private:
  const v1::TreeReply& tree_;
  std::vector<int> tops_;
  std::vector<std::vector<int>> children_;
};

Table TreeTable() {
  return Table({{"KEY"},
                {"POSITION", Align::kRight},
                {"KV"},
                {"CHECKPOINT"},
                {"SIZE", Align::kRight},
                {"CHILDREN", Align::kRight},
                {"PINS", Align::kRight}});
}

void AddNode(Table& table, const std::string& lead, const v1::TreeNode& node, bool full) {
  table.AddRow({lead + ShortKey(node.key(), full), FormatCount(node.position()),
                node.kv().empty() ? "-" : node.kv(),
                node.checkpoint().empty() ? "-" : node.checkpoint(),
                node.bytes() == 0 ? "-" : FormatBytes(node.bytes()), FormatCount(node.children()),
                node.pins() == 0 ? "-" : FormatCount(node.pins())});
}

/// Draws `tops` and all below them.
std::string Draw(const Forest& forest, const std::vector<int>& tops, bool full,
                 const Style& style) {
  struct Pending {
    int node;
    std::string lead;   // Before the node's own key.
    std::string below;  // Before whatever follows it.
  };
  std::vector<Pending> stack;
  const auto push = [&stack](const std::vector<int>& nodes, const std::string& below) {
    for (std::size_t left = nodes.size(); left > 0; --left) {
      const bool only = nodes.size() == 1;
      const bool last = left == nodes.size();
      stack.push_back({nodes[left - 1],
                       below + (only   ? ""
                                : last ? "└─ "
                                       : "├─ "),
                       below + (only   ? ""
                                : last ? "   "
                                       : "│  ")});
    }
  };
  Table table = TreeTable();
  push(tops, "");
  while (!stack.empty()) {
    const Pending next = std::move(stack.back());
    stack.pop_back();
    AddNode(table, next.lead, forest.node(next.node), full);
    push(forest.children(next.node), next.below);
  }
  return table.Text(style);
}

std::string Heading(const v1::TreeNode& root, const v1::StatusReply& status, bool full,
                    const Style& style) {
  std::string model = "namespace";
  std::string detail;
  for (const v1::NamespaceStatus& known : status.namespaces()) {
    if (known.root_key() == root.key()) {
      model = Printable(known.model());
      detail = "tenant " + Printable(known.tenant()) + ", blocks of " +
               FormatCount(known.block_tokens(), "token") + ", ";
    }
  }
  return style.Bold(model) + " (" + detail + "root " + ShortKey(root.key(), full) + ")\n";
}

}  // namespace

std::string TreeText(const v1::TreeReply& tree, const v1::StatusReply& status, bool full,
                     const Style& style) {
  const Forest forest(tree);
  std::string text;
  std::vector<int> loose;  // Tops that are no roots: what a --prefix found.
  for (const int top : forest.tops()) {
    if (forest.node(top).depth() != 0) {
      loose.push_back(top);
      continue;
    }
    text += (text.empty() ? "" : "\n") + Heading(forest.node(top), status, full, style);
    text += forest.children(top).empty() ? "nothing cached\n"
                                         : Draw(forest, forest.children(top), full, style);
  }
  if (!loose.empty()) {
    text += (text.empty() ? "" : "\n") + Draw(forest, loose, full, style);
  }
  if (text.empty()) {
    text = "no prefixes\n";
  }
  if (tree.truncated()) {
    text += "\nThere are more than these " +
            FormatCount(static_cast<std::uint64_t>(tree.nodes_size())) +
            "; see others with --prefix HEX, or more with --max N (at most 10,000)\n";
  }
  return text;
}

}  // namespace cairn::ctl
