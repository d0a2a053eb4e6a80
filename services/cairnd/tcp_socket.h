#pragma once

#include <string>

namespace cairn::server {

/// What every TCP connection of an engine gets: answers leave at once, and a peer that vanished
/// without a word (its machine or the network is gone) is noticed within 30 s, be it that nothing
/// is asked or that an answer does not get through. Its session and its leases end then.
void PrepareTcpSocket(int fd);

/// "10.0.0.7:50312", for logs; "gone" where there is no peer any more.
std::string PeerAddress(int fd);

}  // namespace cairn::server
