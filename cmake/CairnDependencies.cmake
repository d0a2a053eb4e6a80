# Every third-party library, once. Rows with reasons: docs/dependencies.md. All are Debian 12
# packages; `./dev setup` installs them.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Boost 1.77 REQUIRED)  # 1.74, Debian's default, has the wrong Asio.
find_package(OpenSSL REQUIRED)
find_package(Protobuf REQUIRED)
find_package(RocksDB REQUIRED)
find_package(ZLIB REQUIRED)
find_package(tl-expected REQUIRED)
find_package(spdlog REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
# By pkg-config: the CMake package also looks for CURL, which the core does not need.
pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-core)

# Asio and Beast, header-only.
add_library(cairn_asio INTERFACE)
target_include_directories(cairn_asio SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(cairn_asio INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_COROUTINE BOOST_ERROR_CODE_HEADER_ONLY)
target_link_libraries(cairn_asio INTERFACE Threads::Threads)

# UCX's headers, for the UCX plane. Without them it says that it is not built in. The library itself
# is looked for when a program runs: engines bring their own, and a daemon without one still starts.
option(CAIRN_UCX "Build the UCX plane where UCX's headers are" ON)
set(CAIRN_UCX_FOUND FALSE)
if(CAIRN_UCX)
  pkg_check_modules(CAIRN_UCX ucx>=1.13)
endif()
if(CAIRN_UCX_FOUND)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_INCLUDES ${CAIRN_UCX_INCLUDE_DIRS})
  check_cxx_source_compiles("#include <ucp/api/ucp.h>
    int main() { ucp_ep_attr_t a{}; a.field_mask = UCP_EP_ATTR_FIELD_TRANSPORTS;
                 return static_cast<int>(a.transports.num_entries); }"
    CAIRN_HAVE_UCP_EP_TRANSPORTS)  # 1.14; before, lanes are read from what UCX prints.
  unset(CMAKE_REQUIRED_INCLUDES)
endif()

# CUDA's headers, for the GPU tier. Without them it reports that it is absent. No library of
# CUDA is needed to start; the kernels, where nvcc builds them, bring its runtime, statically.
set(CAIRN_CUDA_ROOT "" CACHE PATH "Where CUDA is, if not in a usual place; OFF: build without it")
if(CAIRN_CUDA_ROOT STREQUAL "OFF")
  set(CAIRN_CUDA_INCLUDE "")
else()
  find_path(CAIRN_CUDA_INCLUDE cuda.h
            HINTS ${CAIRN_CUDA_ROOT} ENV CUDA_HOME ENV CUDA_PATH
            PATHS ${CMAKE_SOURCE_DIR}/build/cuda /usr/local/cuda
            PATH_SUFFIXES include nvidia/cu13/include nvidia/cuda_runtime/include)
  if(NOT CAIRN_CUDA_INCLUDE)
    set(CAIRN_CUDA_INCLUDE "")
  endif()
endif()
