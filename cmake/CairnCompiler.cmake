# Language level, warnings, sanitizers, hardening and ccache for every target of the project.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

option(CAIRN_WERROR "Treat warnings as errors" ON)
set(CAIRN_SANITIZER "" CACHE STRING "address, thread, fuzzer or empty")

# Carried by every target of ours, never by third-party code.
add_library(cairn_flags INTERFACE)
target_compile_options(cairn_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wimplicit-fallthrough
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
  $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>
  $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # False positives on std::string in g++ 12 (PR 105651).
  $<$<BOOL:${CAIRN_WERROR}>:-Werror>)
target_include_directories(cairn_flags INTERFACE ${CMAKE_SOURCE_DIR})

option(CAIRN_HARDENED "More checks at run time, a little slower: for images and packages" OFF)

if(CAIRN_SANITIZER STREQUAL "")
  target_compile_options(cairn_flags INTERFACE
    -fstack-protector-strong -fstack-clash-protection
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=$<IF:$<BOOL:${CAIRN_HARDENED}>,3,2>>
    $<$<BOOL:${CAIRN_HARDENED}>:-fcf-protection=full>)
  target_compile_definitions(cairn_flags INTERFACE
    $<$<BOOL:${CAIRN_HARDENED}>:_GLIBCXX_ASSERTIONS>)
  target_compile_definitions(cairn_flags INTERFACE $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)
  target_link_options(cairn_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
elseif(CAIRN_SANITIZER STREQUAL "address")
  # -fno-sanitize=function: clang 14 cannot compile coroutines with it.
  set(CAIRN_SANITIZE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
      $<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>
      # At -O1 g++ inlines half of Asio's operator new and then misses that its delete fits.
      $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
elseif(CAIRN_SANITIZER STREQUAL "thread")
  set(CAIRN_SANITIZE -fsanitize=thread -fno-omit-frame-pointer)
elseif(CAIRN_SANITIZER STREQUAL "fuzzer")
  set(CAIRN_SANITIZE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=function
      -fno-sanitize-recover=all -fno-omit-frame-pointer)
else()
  message(FATAL_ERROR "CAIRN_SANITIZER is '${CAIRN_SANITIZER}'; use address, thread, fuzzer or nothing")
endif()
if(CAIRN_SANITIZE)
  # Line tables are enough for a report, and -O1 builds twice as fast; debug checks stay on.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1")
  target_compile_options(cairn_flags INTERFACE ${CAIRN_SANITIZE})
  target_link_options(cairn_flags INTERFACE ${CAIRN_SANITIZE})
  target_compile_definitions(cairn_flags INTERFACE CAIRN_SANITIZED=1)
endif()
