#pragma once

namespace cairn::server {

/// What every TCP connection of an engine gets: answers leave at once, and a peer that vanished
/// without a word (its machine or the network is gone) is noticed within 30 s, be it that nothing
/// is asked or that an answer does not get through. Its session and its leases end then.
void PrepareTcpSocket(int fd);

}  // namespace cairn::server
