# cmake -D NVCC=... -D SOURCE=... -D ARCHITECTURES=80;90 -D MOST_REGISTERS=... -P resources.cmake
# Compiles SOURCE for each architecture and fails if a kernel spills registers or needs more than it
# may: both would cost speed that no test on a machine without a GPU notices.
foreach(ARCHITECTURE ${ARCHITECTURES})
  execute_process(
    COMMAND ${NVCC} -std=c++20 -I${ROOT} --fmad=false -arch=sm_${ARCHITECTURE} -Xptxas -v -cubin ${SOURCE}
            -o ${OUTPUT}.${ARCHITECTURE}.cubin
    ERROR_VARIABLE REPORT RESULT_VARIABLE STATUS)
  if(NOT STATUS EQUAL 0)
    message(FATAL_ERROR "sm_${ARCHITECTURE}: ${REPORT}")
  endif()
  string(REGEX MATCHALL "[0-9]+ bytes spill (stores|loads)" SPILLS "${REPORT}")
  string(REGEX MATCHALL "Used [0-9]+ registers" REGISTERS "${REPORT}")
  if(NOT SPILLS OR NOT REGISTERS)
    message(FATAL_ERROR "sm_${ARCHITECTURE}: the compiler says nothing of registers:\n${REPORT}")
  endif()
  set(MOST 0)
  foreach(USED ${REGISTERS})
    string(REGEX REPLACE "[^0-9]" "" USED ${USED})
    if(USED GREATER MOST)
      set(MOST ${USED})
    endif()
  endforeach()
  foreach(SPILL ${SPILLS})
    if(NOT SPILL MATCHES "^0 bytes")
      message(FATAL_ERROR "sm_${ARCHITECTURE}: registers are spilled:\n${REPORT}")
    endif()
  endforeach()
  if(MOST GREATER MOST_REGISTERS)
    message(FATAL_ERROR "sm_${ARCHITECTURE}: ${MOST} registers, ${MOST_REGISTERS} allowed:\n${REPORT}")
  endif()
  list(LENGTH REGISTERS KERNELS)
  message(STATUS "sm_${ARCHITECTURE}: ${KERNELS} kernels, at most ${MOST} registers, no spills")
endforeach()
