#pragma once

#include <string>

#include "services/cairnctl/command_table.h"

namespace cairn::ctl {

// The handlers of the commands of the same names (docs/cairnctl.md says what each prints). Errors:
// those of Daemon::Open and Daemon::Call, where nothing else is said.

Result<std::string> RunStatus(const Invocation& invocation);
Result<std::string> RunTiers(const Invocation& invocation);
/// Of --connect, or of what the one daemon was told. Errors: kUnavailable when none answers.
Result<std::string> RunMembers(const Invocation& invocation);
Result<std::string> RunTree(const Invocation& invocation);
Result<std::string> RunLookup(const Invocation& invocation);
Result<std::string> RunLeases(const Invocation& invocation);
Result<std::string> RunConfig(const Invocation& invocation);

Result<std::string> RunPlacementShow(const Invocation& invocation);
Result<std::string> RunPlacementExplain(const Invocation& invocation);
/// Errors: kExists where the file is there already; kIo.
Result<std::string> RunPlacementExport(const Invocation& invocation);
/// Errors: those of ReadPlacementFile.
Result<std::string> RunPlacementImport(const Invocation& invocation);

/// These two ask no daemon. Errors: those of DevCertificates::Write; of DescribeCertificates, kIo.
Result<std::string> RunCertDev(const Invocation& invocation);
Result<std::string> RunCertShow(const Invocation& invocation);

Result<std::string> RunPin(const Invocation& invocation);
Result<std::string> RunUnpin(const Invocation& invocation);
Result<std::string> RunEvict(const Invocation& invocation);
Result<std::string> RunClear(const Invocation& invocation);
/// With --wait it returns when the daemon has ended, however long that takes.
Result<std::string> RunDrain(const Invocation& invocation);

/// Never fails: a daemon that cannot be reached is part of the answer.
Result<std::string> RunVersion(const Invocation& invocation);
/// Asks no daemon.
Result<std::string> RunCompletion(const Invocation& invocation);

}  // namespace cairn::ctl
