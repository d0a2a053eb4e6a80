#include "kernels/tests/check.h"

int main(int argc, char** argv) { return cairn::kernels::test::RunCases(argc, argv); }
