// The daemons of a client.
#include <algorithm>
#include <cstring>
#include <string>

#include "libcache/connector/c_api.h"

namespace cairn::c_api {
namespace {

template <std::size_t N>
void SetText(char (&field)[N], const std::string& text) {
  const std::size_t bytes = std::min(text.size(), N - 1);
  std::memcpy(field, text.data(), bytes);
  field[bytes] = '\0';
}

Status MemberAt(const cairn_client* client, std::size_t index, cairn_member* member) {
  if (const Status handle = NotNull(client, "client"); !handle) {
    return handle;
  }
  if (const Status given = CheckStruct(member, "member"); !given) {
    return given;
  }
  const std::vector<MemberView> members = client->client->Members();
  if (index >= members.size()) {
    return Fail(ErrorCode::kNotFound,
                "index: the client knows " + std::to_string(members.size()) + " daemons");
  }
  cairn_member value{};
  value.state = static_cast<std::int32_t>(members[index].state);
  SetText(value.name, members[index].member.name);
  SetText(value.endpoint, members[index].member.endpoint);
  SetText(value.problem, members[index].problem);
  WriteStruct(member, value);
  return {};
}

static_assert(static_cast<int>(MemberView::State::kIdle) == CAIRN_MEMBER_IDLE);
static_assert(static_cast<int>(MemberView::State::kConnected) == CAIRN_MEMBER_CONNECTED);
static_assert(static_cast<int>(MemberView::State::kDown) == CAIRN_MEMBER_DOWN);
static_assert(static_cast<int>(MemberView::State::kLeftOut) == CAIRN_MEMBER_LEFT_OUT);

}  // namespace
}  // namespace cairn::c_api

cairn_code cairn_client_member(const cairn_client* client, size_t index, cairn_member* member) {
  namespace api = cairn::c_api;
  return api::Guarded([&] { return api::MemberAt(client, index, member); });
}
